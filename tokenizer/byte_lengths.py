"""The number of bytes of text that each id of a vocabulary stands for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import load, read_tokenizer_json
from gpts_data.tokenizer.vocabulary_files import byte_characters


def bytes_per_id(folder: AnyPath, vocab_size: int, eos_id: int) -> NDArray[np.int64]:
    """The number of bytes that each id stands for, int64, shape (vocab_size,); 0 for end-of-text.

    Each character of an entry stands for one byte, so only byte-level vocabularies work: `UsageError` for others.
    """
    path = load(folder).folder / "tokenizer.json"
    content = read_tokenizer_json(path)
    vocabulary = content["model"]["vocab"]
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    characters = byte_characters().keys()
    lengths = np.zeros(vocab_size, dtype=np.int64)
    for entry, number in vocabulary.items():
        if not (entry in added or characters >= set(entry)):
            raise UsageError(f"{path}: entry {entry!r} is not byte-level; bits per byte need a byte-level BPE")
        lengths[number] = len(entry)
    for entry, number in added.items():
        lengths[number] = len(entry.encode())  # the string of an added token is plain text
    lengths[eos_id] = 0
    return lengths

"""How many bytes of text each id of a vocabulary stands for."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import load
from gpts_data.tokenizer.vocabulary_files import byte_characters


def bytes_per_id(folder: AnyPath, vocab_size: int, eos_id: int) -> NDArray[np.int64]:
    """Bytes of text that every id stands for, shape (vocab_size,): an entry's characters, and 0 for end-of-text.

    In a byte-level vocabulary a character stands for one byte. Raises `UsageError` for any other vocabulary.
    """
    path = load(folder).folder / "tokenizer.json"
    content = json.loads(path.read_bytes())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    characters = byte_characters().keys()
    lengths = np.zeros(vocab_size, dtype=np.int64)
    for entry, number in vocabulary.items():
        if not (entry in added or characters >= set(entry)):
            raise UsageError(f"{path}: entry {entry!r} is not byte-level; bits per byte need a byte-level BPE")
        lengths[number] = len(entry)
    for entry, number in added.items():
        lengths[number] = len(entry.encode())  # added tokens are spelled as they are
    lengths[eos_id] = 0
    return lengths

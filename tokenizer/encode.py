"""Texts to ids: one flat uint16 array and a length per text, each text followed by one end-of-text of ours."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.artifact import load

AT_ONCE = 32  # texts: an Encoding takes some 100 bytes a token, so a batch of 1,000 would hold hundreds of MB


class Encoder:
    """Encodes with `tokenizers`. The string `<|endoftext|>` inside a text is ordinary bytes."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        artifact = load(folder)
        self.eos_id = artifact.eos_id
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more special
            raise UsageError(f"{folder / 'tokenizer.json'}: tokenizers cannot load it: {error}") from error
        self._tokenizer.encode_special_tokens = True  # "special tokens are encoded like any text"
        self._tokenizer.no_truncation()  # `transformers` saves both with a tokenizer that has used them
        self._tokenizer.no_padding()

    def encode(self, texts: list[str]) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
        """Ids of all texts one after the other, uint16, and each text's count, uint32, end-of-text included."""
        end = np.array([self.eos_id], dtype=np.uint16)
        parts: list[NDArray[np.uint16]] = []
        for i in range(0, len(texts), AT_ONCE):
            for encoding in self._tokenizer.encode_batch_fast(texts[i : i + AT_ONCE], add_special_tokens=False):
                parts += np.array(encoding.ids, dtype=np.uint16), end
        lengths = np.array([len(part) + 1 for part in parts[::2]], dtype=np.uint32)
        return np.concatenate([np.empty(0, np.uint16), *parts]), lengths

    def decode(self, ids: NDArray[np.uint16], *, ends: bool = False) -> str:
        """The text of some ids, with `<|endoftext|>` where `ends`; bytes that are no whole character become U+FFFD."""
        return str(self._tokenizer.decode(ids.tolist(), skip_special_tokens=not ends))


@lru_cache(maxsize=2)
def encoder(folder: Path, digest: str) -> Encoder:
    """The encoder of a folder, kept for the life of the process; `digest` tells one content from the next."""
    return Encoder(folder)

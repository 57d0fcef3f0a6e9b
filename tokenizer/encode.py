"""Texts to ids: one flat uint16 array and a length per text, each text followed by one end-of-text of ours.

    Arrow strings ── 64 at a time ── fastokens, or tokenizers where that fails ── uint32 ── checked ── uint16, ends

Both give the same ids (tokenizer.parity_check checks it in every build), so which one it was is no part of what the
bytes of a mix are a function of.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.metadata import version
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError, UsageError
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import load
from gpts_data.tokenizer.fastokens_encoder import load_fastokens

EncoderName = Literal["fast", "tokenizers"]
TEXTS_PER_BATCH = (
    64  # texts: what tokenizers holds of 1,000 would be hundreds of MB, and fastokens is slower with more too
)


class EncoderBackend(Protocol):
    """A way from texts to ids: `ids` gives them flat, and each text's count."""

    name: str

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]: ...


class TokenizersBackend:
    """`tokenizers`: what every id is measured by, and the fallback. The string of a special token is ordinary text."""

    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer

        self.name = f"tokenizers {version('tokenizers')}"
        self.tokenizer = Tokenizer.from_str(tokenizer_json)
        self.tokenizer.encode_special_tokens = True  # "special tokens are encoded like any text"
        self.tokenizer.no_truncation()  # `transformers` saves both with a tokenizer that has used them
        self.tokenizer.no_padding()

    def encode_one(self, text: str) -> list[int]:
        """Ids of one text. A batch of one keeps the library to one thread: the workers are the parallelism."""
        ids: list[int] = self.tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        parts = [np.array(self.encode_one(text), dtype=np.uint32) for text in texts]
        lengths = np.array([len(part) for part in parts], dtype=np.uint32)
        return np.concatenate([np.empty(0, np.uint32), *parts]), lengths


class Encoder:
    """The encoder of a tokenizer folder; `name` is library and version. `choice` "fast" takes the fastest that will do.

    Raises `UsageError` for a tokenizer that `tokenizers` cannot load.
    """

    def __init__(self, folder: AnyPath, choice: EncoderName = "fast") -> None:
        artifact = load(folder)
        content = (folder / "tokenizer.json").read_text()
        try:
            self.reference = TokenizersBackend(content)
        except Exception as error:  # the library raises nothing more special
            raise UsageError(f"{folder / 'tokenizer.json'}: tokenizers cannot load it: {error}") from error
        added = [token["content"] for token in json.loads(content)["added_tokens"]]
        fast = load_fastokens(content, added, self.reference.encode_one) if choice == "fast" else None
        self._method: EncoderBackend = fast or self.reference
        self.name = self._method.name
        self.eos_id = artifact.eos_id
        self.digest = artifact.digest
        self.vocab_size = artifact.vocab_size

    @property
    def is_reference(self) -> bool:
        return self._method is self.reference

    def encode(self, texts: pa.Array | list[str]) -> tuple[NDArray[np.uint16], NDArray[np.uint32]]:
        """Ids of all texts (Arrow strings without nulls, or a list) one after the other, uint16, and each text's count,
        uint32, end-of-text included.

        Raises `DataError` when a text gives an id that is none of the vocabulary, or end-of-text itself.
        """
        parts, counts = [np.empty(0, np.uint16)], [np.empty(0, np.uint32)]
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            some = texts[start : start + TEXTS_PER_BATCH]
            ids, lengths = self._method.ids(some if isinstance(some, list) else some.to_pylist())
            self._check(ids)
            parts.append(_append_eos(ids, lengths, self.eos_id))
            counts.append(lengths + np.uint32(1))
        return np.concatenate(parts), np.concatenate(counts)

    def _check(self, ids: NDArray[np.uint32]) -> None:
        highest = int(ids.max(initial=0))
        if highest >= self.vocab_size or (ids == self.eos_id).any():
            found = f"id {highest:,}" if highest >= self.vocab_size else "end-of-text inside a text"
            raise DataError(
                f"{self.name} gave {found}, expected ids below {self.vocab_size:,} and none of end-of-text; "
                "the tokenizer has a piece of text for end-of-text, or the library is broken: use another of either"
            )

    def decode(self, ids: NDArray[np.uint16], *, ends: bool = False) -> str:
        """The text of some ids, with `<|endoftext|>` where `ends`; bytes that are no whole character become U+FFFD."""
        return str(self.reference.tokenizer.decode(ids.tolist(), skip_special_tokens=not ends))


def _append_eos(ids: NDArray[np.uint32], lengths: NDArray[np.uint32], eos_id: int) -> NDArray[np.uint16]:
    """Flat uint16 ids, `eos_id` behind each text's."""
    ends = np.cumsum(lengths + np.uint32(1), dtype=np.int64) - 1
    out = np.empty(len(ids) + len(lengths), dtype=np.uint16)
    of_text = np.ones(len(out), dtype=np.bool_)
    of_text[ends] = False
    out[of_text] = ids
    out[ends] = eos_id
    return out


@lru_cache(maxsize=2)
def get_encoder(folder: AnyPath, digest: str, choice: EncoderName = "fast") -> Encoder:
    """The encoder of a folder, kept for the life of the process; `digest` is what its tokenizer.json must have.

    Raises `UsageError` when it has another: a worker that sees another folder under this name.
    """
    found = Encoder(folder, choice)
    if found.digest != digest:
        raise UsageError(
            f"{folder}: found the tokenizer {found.digest[:16]}, expected {digest[:16]}; all workers must see the "
            "folder of this build, or use --out with an object store"
        )
    return found

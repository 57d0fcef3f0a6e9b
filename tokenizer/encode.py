"""Encode texts: one flat array of ids with an end-of-text id after each text, and a length per text.

    Arrow strings ── 64 at a time ── fastokens, or tokenizers where that fails ── uint32 ids ── check ── uint16, EOS

The ids of a vocabulary with more than 65,536 entries stay uint32.

Both backends give the same ids, which tokenizer.parity_check checks in every build, so the bytes of a mix do not depend
on the backend.
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError, UsageError
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import TokenIds, load_with_content, token_dtype
from gpts_data.tokenizer.fastokens_encoder import load_fastokens

EncoderName = Literal["fast", "tokenizers"]
TEXTS_PER_BATCH = 64  # with 1,000 texts tokenizers would hold hundreds of MB, and fastokens is slower too


class EncoderBackend(Protocol):
    """A library that encodes texts. `ids` returns the ids of all texts in one array, and their number per text."""

    name: str

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]: ...


class TokenizersBackend:
    """The `tokenizers` library: the reference for every id, and the fallback. Encodes special tokens as plain text."""

    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer

        self.name = f"tokenizers {version('tokenizers')}"
        self.tokenizer = Tokenizer.from_str(tokenizer_json)
        self.tokenizer.encode_special_tokens = True  # encode the string of a special token like any other text
        self.tokenizer.no_truncation()  # `transformers` saves both with a tokenizer that has used them
        self.tokenizer.no_padding()

    def encode_one(self, text: str) -> list[int]:
        """Ids of one text. With a batch of one the library uses one thread; a build runs several workers instead."""
        ids: list[int] = self.tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
        return ids

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        parts = [np.array(self.encode_one(text), dtype=np.uint32) for text in texts]
        lengths = np.array([len(part) for part in parts], dtype=np.uint32)
        return np.concatenate([np.empty(0, np.uint32), *parts]), lengths


class Encoder:
    """The encoder of a tokenizer folder; `name` is its library and version.

    `choice` "fast" uses fastokens if it supports the tokenizer. Raises `UsageError` when `tokenizers` cannot load it.
    """

    def __init__(self, folder: AnyPath, choice: EncoderName = "fast") -> None:
        artifact, encoded = load_with_content(folder)
        try:
            content = encoded.decode()  # `load` does not decode keys that it ignores
            added = [token["content"] for token in json.loads(content)["added_tokens"]]
            self.reference = TokenizersBackend(content)
        except Exception as error:  # the library has no class of its own
            raise UsageError(f"{folder / 'tokenizer.json'}: tokenizers cannot load it: {error}") from error
        fast = load_fastokens(content, added, self.reference.encode_one) if choice == "fast" else None
        self._backend: EncoderBackend = fast or self.reference
        self.name = self._backend.name
        self.eos_id = artifact.eos_id
        self.digest = artifact.digest
        self.vocab_size = artifact.vocab_size
        self.dtype = token_dtype(artifact.vocab_size)

    @property
    def is_reference(self) -> bool:
        return self._backend is self.reference

    def encode(self, texts: pa.Array | list[str]) -> tuple[TokenIds, NDArray[np.uint32]]:
        """Encode texts: Arrow strings without nulls, or a list.

        Returns the ids of all texts one after the other, of type `dtype`, and the number of ids per text, uint32, both
        with the end-of-text id after each text. Raises `DataError` when a text encodes to an id outside of the
        vocabulary or to end-of-text.
        """
        parts, counts = [np.empty(0, self.dtype)], [np.empty(0, np.uint32)]
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            batch = texts[start : start + TEXTS_PER_BATCH]
            ids, lengths = self._backend.ids(batch if isinstance(batch, list) else batch.to_pylist())
            self._check(ids)
            parts.append(_append_eos(ids, lengths, self.eos_id, self.dtype))
            counts.append(lengths + np.uint32(1))
        return np.concatenate(parts), np.concatenate(counts)

    def _check(self, ids: NDArray[np.uint32]) -> None:
        highest = int(ids.max(initial=0))
        if highest >= self.vocab_size or (ids == self.eos_id).any():
            found = f"id {highest:,}" if highest >= self.vocab_size else "end-of-text inside a text"
            raise DataError(
                f"{self.name} gave {found}, expected ids below {self.vocab_size:,} and no end-of-text; either the "
                "tokenizer makes end-of-text from ordinary text, or the library is broken: use another tokenizer, or "
                "--encoder tokenizers"
            )

    def decode(self, ids: TokenIds, *, ends: bool = False) -> str:
        """The text of ids, with `<|endoftext|>` if `ends`. Bytes that are not valid UTF-8 become U+FFFD."""
        return str(self.reference.tokenizer.decode(ids.tolist(), skip_special_tokens=not ends))


def _append_eos(ids: NDArray[np.uint32], lengths: NDArray[np.uint32], eos_id: int, dtype: np.dtype[Any]) -> TokenIds:
    """The ids as `dtype`, with `eos_id` after those of each text."""
    ends = np.cumsum(lengths + np.uint32(1), dtype=np.int64) - 1
    out = np.empty(len(ids) + len(lengths), dtype=dtype)
    is_text = np.ones(len(out), dtype=np.bool_)
    is_text[ends] = False
    out[is_text] = ids
    out[ends] = eos_id
    return out


def get_encoder(folder: AnyPath, digest: str, choice: EncoderName = "fast") -> Encoder:
    """The encoder of a folder, cached for the life of the process.

    Raises `UsageError` when the sha256 of tokenizer.json is not `digest`: a worker process on another machine may see
    another folder under this path.
    """
    return _get_encoder(folder, digest, choice)  # lru_cache takes a call without `choice` for another one


@lru_cache(maxsize=2)
def _get_encoder(folder: AnyPath, digest: str, choice: EncoderName) -> Encoder:
    encoder = Encoder(folder, choice)
    if encoder.digest != digest:
        raise UsageError(
            f"{folder}: found the tokenizer {encoder.digest[:16]}, expected {digest[:16]}; all workers must see the "
            "folder of this build, or use --out with an object store"
        )
    return encoder

"""The files of a tokenizer folder: `tokenizer.json`, the other files that `transformers.AutoTokenizer` reads, a rank
file for tiktoken and a readable list of the vocabulary."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.atomic_files import write_bytes, write_json
from gpts_data.pipelines.storage.paths import AnyPath, is_store
from gpts_data.pipelines.storage.typed_json import Count, JsonError, decode_json, read_regular_file
from gpts_data.tokenizer.vocabulary_files import tiktoken_ranks, vocabulary_listing

END_OF_TEXT = "<|endoftext|>"
FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.tiktoken", "vocabulary.txt")
MAX_VOCAB_SIZE = 1 << 20  # four times the largest in use; a manifest with more is damaged
MAX_BYTES = 64 << 20  # of each file; one with 65,536 entries takes 4 MB, Gemma's with 262,144 takes 33 MB
ADVICE = "use another tokenizer, or train one with `gpts-data train-tokenizer`"


TokenIds = NDArray[Any]
"""Token ids, of the type that `token_dtype` gives."""


@dataclass(frozen=True)
class Artifact:
    """A tokenizer folder that was checked. `digest` is the sha256 of tokenizer.json."""

    folder: AnyPath
    digest: str
    vocab_size: int
    eos_id: int


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The type in which the ids of a vocabulary are stored: little-endian uint16, or uint32 if it has too many."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def save(tokenizer_json: str, folder: AnyPath, context: int) -> Artifact:
    """Write the files of a tokenizer, tokenizer.json last, and check them.

    `context` is the longest sequence in tokens, `model_max_length` for `transformers`.
    """
    others = [token for token in special_tokens(tokenizer_json) if token != END_OF_TEXT]
    names: dict[str, Any] = {"eos_token": END_OF_TEXT, "bos_token": END_OF_TEXT}
    names.update({"additional_special_tokens": others} if others else {})
    write_json(folder / "special_tokens_map.json", names)
    write_json(folder / "tokenizer_config.json", {**_config(context), **names})
    if ranks := tiktoken_ranks(tokenizer_json):
        write_bytes(folder / "tokenizer.tiktoken", ranks)
    write_bytes(folder / "vocabulary.txt", vocabulary_listing(tokenizer_json).encode())
    write_bytes(folder / "tokenizer.json", tokenizer_json.encode())
    return load(folder)


def load(folder: AnyPath) -> Artifact:
    """Check a tokenizer folder.

    Raises `UsageError` when tokenizer.json is missing or not that of a BPE, its ids are not 0..n-1 with n at most
    MAX_VOCAB_SIZE, or end-of-text is missing or not marked as special.
    """
    return load_with_content(folder)[0]


def load_with_content(folder: AnyPath) -> tuple[Artifact, bytes]:
    """Check a tokenizer folder like `load`. Returns the content of tokenizer.json too, which is read once."""
    path = folder / "tokenizer.json"
    if not is_store(path) and not path.is_file():
        raise UsageError(f"{folder}: {_why_no_tokenizer(folder)}")
    try:
        content = _read(path)
    except FileNotFoundError as error:
        raise UsageError(f"{folder}: {_why_no_tokenizer(folder)}") from error
    ids = _ids(path, _parse(path, content))
    if END_OF_TEXT not in ids:
        raise UsageError(f"{path}: no {END_OF_TEXT} in the vocabulary; every document must end with it")
    if sorted(ids.values()) != list(range(len(ids))) or len(ids) > MAX_VOCAB_SIZE:
        raise UsageError(
            f"{path}: found {len(ids):,} ids up to {max(ids.values()):,}, expected 0..n-1 "
            f"and n at most {MAX_VOCAB_SIZE:,}"
        )
    return Artifact(folder, sha256(content).hexdigest(), len(ids), ids[END_OF_TEXT]), content


def _why_no_tokenizer(folder: AnyPath) -> str:
    written = "expected a folder written by `gpts-data train-tokenizer`"
    if not folder.is_dir():
        return f"no such folder; {written}"
    if not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
        return f"no tokenizer.json there; {written}"
    command = f"GPT2TokenizerFast.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
    return (
        "vocab.json and merges.txt, but no tokenizer.json there, which save_pretrained writes: "
        f'python -c "from transformers import GPT2TokenizerFast; {command}"'
    )


class AddedToken(TypedDict):
    """An added token of tokenizer.json."""

    id: Count
    content: str
    special: bool


class Model(TypedDict):
    """The model of tokenizer.json."""

    vocab: dict[str, Count]


class TokenizerJson(TypedDict):
    """What is read of tokenizer.json."""

    model: Model
    added_tokens: list[AddedToken]


def read_tokenizer_json(path: AnyPath) -> TokenizerJson:
    """Read tokenizer.json. Raises `UsageError` when it is not that of a BPE, or larger than MAX_BYTES."""
    return _parse(path, _read(path))


def _read(path: AnyPath) -> bytes:
    with _not_a_tokenizer(path):
        return read_regular_file(path, MAX_BYTES)


def _parse(path: AnyPath, content: bytes) -> TokenizerJson:
    with _not_a_tokenizer(path):
        return decode_json(content, TokenizerJson)


@contextmanager
def _not_a_tokenizer(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except JsonError as error:
        raise UsageError(f"{path}: not a BPE tokenizer.json: {error}; {ADVICE}") from error


def special_tokens(tokenizer_json: str) -> list[str]:
    """The strings of the special tokens, including end-of-text."""
    return [token["content"] for token in json.loads(tokenizer_json)["added_tokens"] if token["special"]]


def _ids(path: AnyPath, content: TokenizerJson) -> dict[str, int]:
    ids = {**content["model"]["vocab"]}
    ids.update({token["content"]: token["id"] for token in content["added_tokens"]})
    ordinary = [token["content"] for token in content["added_tokens"] if not token["special"]]
    if END_OF_TEXT in ordinary:
        raise UsageError(
            f"{path}: {END_OF_TEXT} is not marked as special; the same string inside a text would end the document"
        )
    return ids


def _config(context: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
    }

"""A tokenizer.json with anything in it is refused with a message or loaded, and what is loaded encodes and decodes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.artifact import END_OF_TEXT, Artifact
from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.encode import Encoder
from tests.conftest import prose

TEXTS = ["A line of text to encode.\n", "", "né\u0301e \U0001f600 12", END_OF_TEXT]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    rng = random.Random(6)
    texts = [prose(rng, 40) for _ in range(20)]
    return artifact.save(train_bpe(iter([texts]), 290).to_str(), tmp_path_factory.mktemp("tokenizer"), 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def check(folder: Path, content: bytes) -> None:
    """Load as the worker process of `check_untrusted` does. Rust's panics end that process, which it reports."""
    (folder / "tokenizer.json").write_bytes(content)
    try:
        loaded = artifact.load(folder)
        encoder = Encoder(folder)
        ids = [encoder.encode([text])[0] for text in TEXTS]
    except GptsDataError as error:
        assert str(folder) in str(error)
        return
    except BaseException as error:
        assert type(error).__name__ == "PanicException", repr(error)
        return
    for text_ids in ids:
        assert text_ids.dtype == encoder.dtype and int(text_ids.max(initial=0)) < loaded.vocab_size
        assert int(text_ids[-1]) == loaded.eos_id
        assert isinstance(encoder.decode(text_ids), str)


PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [0, 1, -1, 65_535, 65_536, 2**32, 2**64, 10**400, "", " ", END_OF_TEXT, "Ġ", "\x00", "BPE", "(a+)+$", "["]
    )
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a JSON value with each of its keys; of a long one the first and the last."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    for key in keys if len(keys) < 12 else [*keys[:4], *keys[-4:]]:
        yield value, key
        yield from places(value[key])


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from(["set", "set", "delete", "copy"]), VALUES),
        min_size=1,
        max_size=3,
    )
)
def test_any_value_in_any_place(saved: Artifact, folder: Path, edits: list[tuple[int, str, Any]]) -> None:
    content = json.loads((saved.folder / "tokenizer.json").read_bytes())
    for number, how, value in edits:
        if not (all_places := list(places(content))):
            break
        container, key = all_places[number % len(all_places)]
        if how == "delete":
            del container[key]
        else:
            container[key] = value if how == "set" else all_places[number // 7 % len(all_places)][0]
        if how == "copy":
            content = json.loads(without_cycles(content))
    check(folder, json.dumps(content).encode("utf-8", "surrogatepass"))


def without_cycles(value: Any) -> str:
    try:
        return json.dumps(value)
    except ValueError:  # a container was put into itself
        return "[]"


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3), st.integers(0, 40)), max_size=4),
    st.integers(0, 10**6),
)
def test_any_bytes_at_any_place(saved: Artifact, folder: Path, edits: list[tuple[int, bytes, int]], end: int) -> None:
    """Each edit replaces some bytes; every second file is cut as well."""
    content = (saved.folder / "tokenizer.json").read_bytes()
    for at, new, n_replaced in edits:
        at %= len(content) + 1
        content = content[:at] + new + content[at + n_replaced :]
    check(folder, content[: end % len(content)] if end % 2 and content else content)


@given(st.binary(max_size=60))
def test_no_tokenizer_at_all(folder: Path, content: bytes) -> None:
    check(folder, content)

"""Hashes of strings against what Python says about the strings, and the mixing against the rule in plain Python."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines.text.hashing import hash_strings, hash_texts, space_width, string_buffers
from tests.support.plain_kernels import hash_string

SPACES = [chr(i) for i in range(sys.maxunicode + 1) if chr(i).isspace()]
STRANGE = [*SPACES, "a", "b", "\0", "\x1b", "\xa1", "\u2007x", "\u200b", "\u2060", "\ufeff", "\u3001", "\U0001f600"]
SPACED = st.lists(st.sampled_from(STRANGE) | st.text(max_size=9)).map("".join)


def strings(values: list[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


@given(st.lists(SPACED, min_size=1))
@example(["a" * 8, "a" * 7, "a" * 7 + " a", "\0" * 8, "\0" * 7, "\0", "a b", "ab", "a bc", "ab c", "", " "])
def test_texts_have_one_key_where_python_splits_them_the_same(texts: list[str]) -> None:
    keys = hash_texts(strings(texts), 0).tolist()
    split = [" ".join(text.split()) for text in texts]
    assert [key == 0 for key in keys] == [not text for text in split]
    assert len(set(keys)) == len(set(split))
    assert hash_texts(strings(split), 0).tolist() == keys


def test_whitespace_is_pythons() -> None:
    """Every character there is; also where the text ends in the middle of what might be one."""
    for code_point in (i for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000):
        raw = np.frombuffer(chr(code_point).encode(), np.uint8)
        assert space_width(raw, 0, len(raw)) == (len(raw) if chr(code_point).isspace() else 0)
        assert len(raw) == 1 or space_width(raw, 0, len(raw) - 1) == 0


@given(st.lists(st.none() | st.text(max_size=20)), st.integers(0, 2**32))
def test_a_string_has_one_key_that_is_not_zero_and_nothing_has_none(values: list[str | None], seed: int) -> None:
    keys = hash_strings(strings(values), seed)
    assert keys.dtype == np.uint64
    assert (keys != 0).tolist() == [bool(value) for value in values]
    assert len(set(keys[keys != 0].tolist())) == len({value for value in values if value})


@given(st.lists(st.text(max_size=30)), st.integers(0, 2**32))
def test_keys_are_the_rule_in_plain_python(values: list[str], seed: int) -> None:
    assert hash_strings(strings(values), seed).tolist() == [hash_string(value, seed) for value in values]


@given(st.lists(st.none() | st.text(max_size=9), min_size=3), st.data())
def test_a_part_of_a_column_has_the_keys_of_its_rows(values: list[str | None], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values)))
    length = data.draw(st.integers(0, len(values) - start))
    part = strings(values).slice(start, length)
    assert (hash_strings(part, 1) == hash_strings(strings(values), 1)[start : start + length]).all()
    assert (hash_texts(part, 1) == hash_texts(strings(values), 1)[start : start + length]).all()


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_the_kind_of_string_does_not_matter(kind: pa.DataType) -> None:
    values = ["one", None, "", "three and more than one block"]
    column = strings(values).cast(kind) if not pa.types.is_dictionary(kind) else strings(values).dictionary_encode()
    assert (hash_strings(column, 5) == hash_strings(strings(values), 5)).all()


@pytest.mark.parametrize("values", [[], [None], [None, None], [""]])
def test_columns_of_nothing(values: list[str | None]) -> None:
    assert hash_strings(strings(values), 0).tolist() == [0] * len(values)
    data, offsets = string_buffers(strings(values))
    assert len(offsets) == len(values) + 1
    assert hash_strings(pa.nulls(len(values)), 0).tolist() == [0] * len(values)


def test_seeds_keep_columns_apart() -> None:
    values = strings([str(i) for i in range(2000)])
    keys = [set(hash_strings(values, seed).tolist()) for seed in range(17)]
    assert len(set.union(*keys)) == 17 * 2000


def test_every_bit_of_a_key_depends_on_every_bit_of_the_string() -> None:
    """One bit of the string changed: each bit of the key changes half the time, within five standard deviations."""
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 64, size=(4000, 21), dtype=np.uint8)
    for position in range(21):
        changed = raw.copy()
        changed[:, position] ^= np.uint8(1 << (position % 6))
        one, other = (hash_strings(strings([bytes(row).decode() for row in rows]), 3) for rows in (raw, changed))
        flips = ((one ^ other)[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
        assert np.abs(flips.mean(axis=0) - 0.5).max() < 5 * 0.5 / np.sqrt(4000)

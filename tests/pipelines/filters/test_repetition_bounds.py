"""The bounds of the n-gram rules are never below what datatrove counts, and close to it for prose."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pyarrow as pa
from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.filters.repetition_bounds import N_SLOTS, bound_repeated, bound_top_ngram, mark_repeats
from gpts_data.pipelines.kernel import BoolArray, Int64Array, UInt64Array, kernel
from gpts_data.pipelines.words.word_arrays import split_words
from tests.conftest import prose


@kernel
def all_bounds(
    words: UInt64Array, n: int, shortest: int, longest: int, table: UInt64Array, repeats: BoolArray, out: Int64Array
) -> None:
    out[0] = bound_top_ngram(words, n, shortest, longest, table)
    out[1] = mark_repeats(words, n, shortest, table, repeats)
    out[2] = bound_repeated(words, n, longest, shortest, repeats)


def bounds(words: list[str], shortest: int, longest: int) -> list[int]:
    """The bounds of the top n-gram, of all repeated n-grams, and of those of `longest` words."""
    arrays = split_words(pa.array([" ".join(words)]))
    assert arrays.counts[0] == len(words)
    table, repeats = np.full(N_SLOTS + 2 * len(words), 7, np.uint64), np.ones(len(words) + 1, np.bool_)
    out = np.zeros(3, np.int64)
    all_bounds(arrays.rows, len(words), shortest, longest, table, repeats, out)
    return out.tolist()


def top_characters(words: list[str], n: int) -> int:
    ngrams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    return max((len(ngram) * count for ngram, count in ngrams.items()), default=0)


@given(
    st.lists(st.sampled_from(["a", "aa", "b", "longer", "words"]), max_size=60), st.integers(1, 4), st.integers(0, 5)
)
def test_no_bound_is_too_low(words: list[str], shortest: int, more: int) -> None:
    top, repeated, of_longest = bounds(words, shortest, shortest + more)
    for n in range(shortest, shortest + more + 1):
        assert top >= top_characters(words, n)
    assert repeated >= find_all_duplicate(words, shortest)
    assert repeated >= of_longest
    if more == 0:
        assert of_longest >= find_all_duplicate(words, shortest)


def test_the_bounds_of_prose_are_below_the_thresholds() -> None:
    words = [word.strip(".") for word in prose(random.Random(1), 3000).split()]
    characters = len(" ".join(words))
    top, repeated, of_longest = bounds(words, 5, 6)
    assert top <= top_characters(words, 5) + 0.02 * characters
    assert repeated <= 0.05 * characters
    assert of_longest <= 0.01 * characters

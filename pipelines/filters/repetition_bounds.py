"""Upper bounds of what Gopher's n-gram rules measure.

Nearly every text is so far below the thresholds that a bound is enough, and its n-grams need not be counted. Two bounds
take a few instructions a word: their tables have neither keys nor probing, so n-grams that share a slot add to each
other, which makes the bound larger, never smaller.
"""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import BoolArray, Float64Array, Int64Array, UInt64Array, inner_kernel
from gpts_data.pipelines.text.hashing import U0, U1
from gpts_data.pipelines.text.rolling_hash import BASE
from gpts_data.pipelines.words.word_rows import INVERSE, LENGTH, SUM

_SLOT_BITS = 11
N_SLOTS = 1 << _SLOT_BITS
"""Slots for the characters of n-grams: 16 KB, which stay in the first level of the CPU's cache."""

_TO_SLOT = np.uint64(64 - _SLOT_BITS)
_TO_BLOCK, _BIT, _TO_FIRST_BLOCKS = np.uint64(6), np.uint64(63), np.uint64(57)


@inner_kernel
def smallest_and_largest(sizes: Int64Array, limits: Float64Array) -> tuple[int, int, float]:
    """Return the smallest and the largest size and the lowest limit; 1, 1 and inf if there are none."""
    smallest, largest, lowest = 1, 1, np.inf
    for k in range(len(sizes)):
        smallest = min(smallest, sizes[k]) if k else sizes[k]
        largest, lowest = max(largest, sizes[k]), min(lowest, limits[k])
    return smallest, largest, lowest


@inner_kernel
def _spread(words: UInt64Array, i: int, n: int) -> np.uint64:
    """Return a number of 64 bits, the same for the same `n` words as one string, whose upper bits are random."""
    return (words[i + n, SUM] - words[i, SUM]) * words[i, INVERSE] * BASE  # type: ignore[no-any-return]


@inner_kernel
def bound_top_ngram(words: UInt64Array, n_words: int, shortest: int, longest: int, table: UInt64Array) -> int:
    """Return an upper bound of the characters, with spaces, that all occurrences of any n-gram have together.

    It holds for n-grams of `shortest` to `longest` words: each begins with one of the shortest, and the characters of
    the longest that begin with those are added up. `table` is scratch space of N_SLOTS elements or more.
    """
    slots, spaces = table[:N_SLOTS], np.uint64(longest - 1)
    slots[:] = U0
    for i in range(n_words - shortest + 1):
        length = words[min(i + longest, n_words), LENGTH] - words[i, LENGTH]
        slots[_spread(words, i, shortest) >> _TO_SLOT] += length + spaces
    most = U0
    for slot in range(N_SLOTS):
        most = max(most, slots[slot])
    return np.int64(most)  # type: ignore[return-value]


@inner_kernel
def mark_repeats(words: UInt64Array, n_words: int, shortest: int, table: UInt64Array, repeats: BoolArray) -> int:
    """Set `repeats` for each word where an n-gram of `shortest` words begins that may have occurred before.

    Returns the number of characters of all of them: an upper bound for n-grams of that many words or more, each of
    which lies within them. They are looked up in a set of 64 to 128 bits a word, where fewer than one in 128 seems to
    be there without being so. `table` is scratch space of two elements a word or more.
    """
    size, shift = 2, _TO_FIRST_BLOCKS
    while size < n_words:
        size, shift = 2 * size, shift - U1
    table[:size] = U0
    repeated = U0
    for i in range(n_words - shortest + 1):
        place = _spread(words, i, shortest) >> shift
        block = table[place >> _TO_BLOCK]
        seen = (block >> (place & _BIT)) & U1
        table[place >> _TO_BLOCK] = block | U1 << (place & _BIT)
        repeats[i] = seen != U0
        repeated += (words[i + shortest, LENGTH] - words[i, LENGTH]) * seen
    return np.int64(repeated)  # type: ignore[return-value]


@inner_kernel
def n_characters(words: UInt64Array, i: int, n: int) -> int:
    """Return the number of characters of the `n` words from word `i` on, without spaces."""
    return np.int64(words[i + n, LENGTH] - words[i, LENGTH])  # type: ignore[return-value]


@inner_kernel
def longest_ngram(words: UInt64Array, n_words: int, n: int) -> int:
    """Return the number of characters of the longest n-gram, with its spaces."""
    longest = 0
    for i in range(n_words - n + 1):
        longest = max(longest, n_characters(words, i, n))
    return longest + n - 1


@inner_kernel
def bound_repeated(words: UInt64Array, n_words: int, n: int, shortest: int, repeats: BoolArray) -> int:
    """Return an upper bound of `_count_repeated`: the characters of n-grams that may be repeats."""
    covered = run = free = 0
    for i in range(n_words - shortest + 1):
        run = run + 1 if repeats[i] else 0
        start = i - (n - shortest)
        if run > n - shortest:
            covered += n_characters(words, max(start, free), start + n - max(start, free))
            free = start + n
    return covered

"""Gopher's repetition rules as datatrove computes them, exactly, from bytes and arrays of words.

Source of the rules: table A1 of https://arxiv.org/abs/2112.11446. A bound (repetition_bounds.py) shows for nearly every
text that no n-gram rule can exceed its threshold. For the others, n-grams of some sizes need not be counted either:

- the most common n-gram occurs no more often than the most common shorter one;
- a 6-gram that occurred before begins with a 5-gram that did, and so on: longer n-grams can repeat only where the
  shortest do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpts_data.pipelines.filters.line_scan import (
    add_and_compare,
    count_characters,
    count_newlines,
    find_newline,
    may_repeat,
    new_table_size,
    table_size,
)
from gpts_data.pipelines.filters.repetition_bounds import (
    N_SLOTS,
    bound_repeated,
    bound_top_ngram,
    longest_ngram,
    mark_repeats,
    n_characters,
    smallest_and_largest,
)
from gpts_data.pipelines.kernel import (
    BoolArray,
    Float64Array,
    Int64Array,
    UInt8Array,
    UInt64Array,
    inner_kernel,
    kernel,
)
from gpts_data.pipelines.text.hash_table import slot_of
from gpts_data.pipelines.text.hashing import U0, U1, mix64, skip_spaces, strip_end
from gpts_data.pipelines.text.rolling_hash import BASE
from gpts_data.pipelines.words.word_arrays import WordArrays
from gpts_data.pipelines.words.word_rows import hash_run

N_FIXED = 4
"""Codes 1 to 4 are repeated paragraphs, their characters, repeated lines, their characters; the n-gram rules follow in
the order of their sizes."""


class RepetitionLimits(NamedTuple):
    """Thresholds of the rules; inf for a rule that is off."""

    fractions: Float64Array
    """Of codes 1 to 4: shape (4,)."""
    top_sizes: Int64Array
    """Sizes of the n-grams whose most common one is limited."""
    top_limits: Float64Array
    """The share of a text's characters that it may have, by size."""
    dup_sizes: Int64Array
    """Sizes of the n-grams whose repeats are limited."""
    dup_limits: Float64Array
    """The share of a text's characters that they may have, by size."""


class RepetitionScratch(NamedTuple):
    """Arrays for the longest text of a batch, used again for each text."""

    table: UInt64Array
    """Hash table of words, n-grams or lines."""
    counts: Int64Array
    """Occurrences by slot of the table: int32."""
    hashes: UInt64Array
    """The hash of each word."""
    slots: Int64Array
    """The slot of each n-gram."""
    repeats: BoolArray
    """Whether the n-gram that begins at a word may have occurred before."""


def repetition_scratch(longest: int) -> RepetitionScratch:
    """Make the arrays for texts of at most `longest` words or lines."""
    size = max(new_table_size(longest), N_SLOTS)
    return RepetitionScratch(
        np.zeros(size, np.uint64),
        np.zeros(size, np.int32),
        np.empty(longest, np.uint64),
        np.empty(longest, np.int64),
        np.empty(longest + 1, np.bool_),
    )


@kernel
def judge_repetition(
    data: UInt8Array,
    offsets: Int64Array,
    words: WordArrays,
    limits: RepetitionLimits,
    scratch: RepetitionScratch,
    codes: Int64Array,
) -> None:
    """Write the code of the first rule that each text breaks, 0 for none, to `codes`. A text must not be blank."""
    for row in range(len(words.counts)):
        first, n, start, stop = words.starts[row], words.counts[row], offsets[row], offsets[row + 1]
        rows, characters = words.rows[first : first + n + 1], count_characters(data, start, stop)
        code = _judge_lines(data, start, stop, characters, limits.fractions, scratch.table)
        if code == 0:
            code = _judge_top_ngrams(rows, n, characters, limits, scratch)
        if code == 0:
            code = _judge_duplicate_ngrams(rows, n, characters, limits, scratch)
        codes[row] = code


@inner_kernel
def _judge_lines(
    data: UInt8Array, start: int, stop: int, characters: int, fractions: Float64Array, table: UInt64Array
) -> int:
    first, last = skip_spaces(data, start, stop), strip_end(data, start, stop)
    only_newlines = count_newlines(data, last, stop) == stop - last
    if first == start and only_newlines and not may_repeat(data, start, stop, table):
        return 0  # a repeated paragraph would repeat its lines
    n, repeats, repeated = _count_repeats(data, first, last, 2, table)
    if repeats / n > fractions[0]:
        return 1
    if repeated / characters > fractions[1]:
        return 2
    n, repeats, repeated = _count_repeats(data, start, stop, 1, table)
    if repeats / n > fractions[2]:
        return 3
    return 4 if repeated / characters > fractions[3] else 0


@inner_kernel
def _count_repeats(
    data: UInt8Array, start: int, stop: int, min_newlines: int, table: UInt64Array
) -> tuple[int, int, int]:
    """Split data[start:stop] at runs of `min_newlines` newlines or more.

    Returns the number of pieces, how many of them occurred before, and the number of characters of those.
    """
    n = repeats = repeated = 0
    table = table[: table_size(count_newlines(data, start, stop) // min_newlines + 2)]
    table[:] = U0
    while start <= stop:
        end, next_start = _next_run(data, start, stop, min_newlines)
        is_repeat, length = add_and_compare(data, start, end, table)
        n, repeats, repeated = n + 1, repeats + is_repeat, repeated + length
        start = next_start
    return n, repeats, repeated


@inner_kernel
def _next_run(data: UInt8Array, i: int, stop: int, min_newlines: int) -> tuple[int, int]:
    """Return the start and end of the first run of `min_newlines` or more; `stop` and `stop` + 1 if there is none."""
    while i < stop:
        end = find_newline(data, i, stop)
        i = end
        while i < stop and data[i] == 0x0A:
            i += 1
        if i - end >= min_newlines:
            return end, i
    return stop, stop + 1


@inner_kernel
def _judge_top_ngrams(
    words: UInt64Array, n_words: int, characters: int, limits: RepetitionLimits, scratch: RepetitionScratch
) -> int:
    """Return the code of the first size whose most common n-gram, with its spaces, is too large a part of the text."""
    shortest, longest_size, lowest = smallest_and_largest(limits.top_sizes, limits.top_limits)
    if bound_top_ngram(words, n_words, shortest, longest_size, scratch.table) / characters <= lowest:
        return 0
    known = most = 0  # no n-gram of more than `known` words occurs more often than `most`
    for k in range(len(limits.top_sizes)):
        n, limit = limits.top_sizes[k], limits.top_limits[k]
        if n_words < n:
            continue
        longest = longest_ngram(words, n_words, n)
        if known and n >= known and most * longest / characters <= limit:
            continue
        if not known:
            for i in range(n_words):
                scratch.hashes[i] = hash_run(words, i, 1)
        most, known = _count_most_common(n_words, n, scratch), n
        if most * longest / characters <= limit:
            continue
        start = _first_with_count(most, n_words - n + 1, scratch)
        if most * (n_characters(words, start, n) + n - 1) / characters > limit:
            return N_FIXED + 1 + k
    return 0


@inner_kernel
def _count_most_common(n_words: int, n: int, scratch: RepetitionScratch) -> int:
    """Return how often the most common n-gram of the words with these `scratch.hashes` occurs."""
    table = scratch.table[: table_size(n_words)]
    counts, slots, hashes, most = scratch.counts, scratch.slots, scratch.hashes, np.int32(0)
    table[:] = U0
    counts[: len(table)] = 0
    for i in range(n_words - n + 1):
        key = U0
        for k in range(n):
            key = key * BASE + hashes[i + k]
        key = max(mix64(key), U1)
        slot = slot_of(table, key)
        table[slot] = key
        slots[i] = slot
        counts[slot] += 1
        most = max(most, counts[slot])
    return int(most)


@inner_kernel
def _first_with_count(most: int, n_ngrams: int, scratch: RepetitionScratch) -> int:
    """Return the first word of the most common n-gram; of equals the first, as `Counter` does it."""
    i = 0
    while i < n_ngrams and scratch.counts[scratch.slots[i]] != most:
        i += 1
    return i


@inner_kernel
def _judge_duplicate_ngrams(
    words: UInt64Array, n_words: int, characters: int, limits: RepetitionLimits, scratch: RepetitionScratch
) -> int:
    """Return the code of the first size whose repeated n-grams have too large a share of the text."""
    sizes = limits.dup_sizes
    shortest, _, lowest = smallest_and_largest(sizes, limits.dup_limits)
    if n_words < shortest:
        return 0
    if mark_repeats(words, n_words, shortest, scratch.table, scratch.repeats) / characters <= lowest:
        return 0
    table = scratch.table[: table_size(n_words)]
    for k in range(len(sizes)):
        n, limit = sizes[k], limits.dup_limits[k]
        bound = bound_repeated(words, n_words, n, shortest, scratch.repeats)
        if bound / characters > limit and _count_repeated(words, n_words, n, table) / characters > limit:
            return N_FIXED + 1 + len(limits.top_sizes) + k
    return 0


@inner_kernel
def _count_repeated(words: UInt64Array, n_words: int, n: int, table: UInt64Array) -> int:
    """Return the characters of n-grams that occurred before, none counted twice: datatrove's `find_all_duplicate`."""
    table[:] = U0
    i = repeated = 0
    while i < n_words - n + 1:
        key = hash_run(words, i, n)
        slot = slot_of(table, key)
        if table[slot] == key:
            repeated += n_characters(words, i, n)
            i += n
        else:
            table[slot] = key
            i += 1
    return repeated

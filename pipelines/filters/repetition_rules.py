"""How much of a text repeats itself: Gopher's measures as datatrove takes them, exactly, from arrays of words.

Table A1 of https://arxiv.org/abs/2112.11446. The walks over n-grams are spared where a bound shows that they cannot
exceed their threshold, which is nearly always:

- the commonest n-gram occurs no more often than the commonest shorter one;
- a 6-gram that occurred before begins with two 5-grams that did, and so on: n-grams up to the longest can repeat only
  where the shortest do.
"""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.filters.line_scan import find_newline, may_repeat, newlines, room_for, seen
from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hash_table import slot_of
from gpts_data.pipelines.text.hashing import U0, U1, mix64, skip_spaces, strip_end
from gpts_data.pipelines.text.rolling_hash import BASE
from gpts_data.pipelines.words.word_arrays import LENGTH, hash_run

N_FIXED = 4
"""Codes 1 to 4: paragraphs, their characters, lines, their characters; then the n-grams in their order."""


@kernel
def judge_repetition(  # type: ignore[no-untyped-def]
    data, offsets, characters, rows, starts, counts, fractions, top_n, top_limits, dup_n, dup_limits
):
    """The first rule each text breaks: int64, 0 for none. `fractions`: the limits of codes 1 to 4.

    `characters`: of each text. A text must have more than whitespace.
    """
    most = 1
    for row in range(len(counts)):
        most = max(most, counts[row], newlines(data, offsets[row], offsets[row + 1]) + 2)
    table = np.zeros(room_for(most), dtype=np.uint64)
    tally = np.zeros(len(table), dtype=np.int32)
    spots, before = np.empty(most, dtype=np.int64), np.empty(most + 1, dtype=np.bool_)
    codes = np.zeros(len(counts), dtype=np.int64)
    for row in range(len(counts)):
        start, stop, n = offsets[row], offsets[row + 1], counts[row]
        words = rows[starts[row] : starts[row] + n + 1]
        code = _lines(data, start, stop, characters[row], fractions, table)
        if code == 0:
            code = _top(words, n, characters[row], top_n, top_limits, table, tally, spots)
        if code == 0:
            code = _dup(words, n, characters[row], dup_n, dup_limits, table, before)
            code += len(top_n) if code else 0
        codes[row] = code
    return codes


@kernel
def _lines(data, start, stop, characters, fractions, table):  # type: ignore[no-untyped-def]
    first, last = skip_spaces(data, start, stop), strip_end(data, start, stop)
    only_newlines = newlines(data, last, stop) == stop - last
    if first == start and only_newlines and not may_repeat(data, start, stop, table):
        return 0  # nor can a paragraph: it would repeat its lines
    n, repeats, repeated = _pieces(data, first, last, 2, table)
    if repeats / n > fractions[0]:
        return 1
    if repeated / characters > fractions[1]:
        return 2
    n, repeats, repeated = _pieces(data, start, stop, 1, table)
    if repeats / n > fractions[2]:
        return 3
    return 4 if repeated / characters > fractions[3] else 0


@kernel
def _pieces(data, start, stop, run, table):  # type: ignore[no-untyped-def]
    """data[start:stop] split at runs of that many newlines or more: pieces, how many were there before, their
    characters."""
    n = repeats = repeated = 0
    table = table[: room_for(newlines(data, start, stop) // run + 2)]
    table[:] = U0
    while start <= stop:
        end, behind = _next_run(data, start, stop, run)
        found, length = seen(data, start, end, table)
        n, repeats, repeated = n + 1, repeats + found, repeated + length
        start = behind
    return n, repeats, repeated


@kernel
def _next_run(data, i, stop, run):  # type: ignore[no-untyped-def]
    """Where the first run of that many newlines begins and ends; behind `stop` if there is none."""
    while i < stop:
        end = find_newline(data, i, stop)
        i = end
        while i < stop and data[i] == 0x0A:
            i += 1
        if i - end >= run:
            return end, i
    return stop, stop + 1


@kernel
def _top(words, n_words, characters, sizes, limits, table, tally, spots):  # type: ignore[no-untyped-def]
    """The code of the first size whose commonest n-gram, with its spaces, makes up too much of the text."""
    known = most = 0  # no n-gram of a size above `known` occurs more often than `most`
    for k in range(len(sizes)):
        n = sizes[k]
        if n_words < n:
            continue
        if known and n >= known and most * _longest(words, n_words, n) / characters <= limits[k]:
            continue
        most, at = _commonest(words, n_words, n, table[: room_for(n_words)], tally, spots)
        known = n
        if most * (_length(words, at, n) + n - 1) / characters > limits[k]:
            return N_FIXED + 1 + k
    return 0


@kernel
def _length(words, i, n):  # type: ignore[no-untyped-def]
    return np.int64(words[i + n, LENGTH] - words[i, LENGTH])


@kernel
def _longest(words, n_words, n):  # type: ignore[no-untyped-def]
    """Characters of the longest n-gram, its spaces counted."""
    longest = 0
    for i in range(n_words - n + 1):
        longest = max(longest, _length(words, i, n))
    return longest + n - 1


@kernel
def _commonest(words, n_words, n, table, tally, spots):  # type: ignore[no-untyped-def]
    """How often the commonest n-gram occurs, and where first; of equals the first, as with `Counter.most_common`."""
    table[:] = U0
    tally[: len(table)] = 0
    for i in range(n_words - n + 1):
        key = U0
        for k in range(n):
            key = key * BASE + hash_run(words, i + k, 1)
        key = max(mix64(key), U1)
        spots[i] = slot_of(table, key)
        table[spots[i]] = key
        tally[spots[i]] += 1
    most = at = 0
    for i in range(n_words - n + 1):
        if tally[spots[i]] > most:
            most, at = tally[spots[i]], i
    return most, at


@kernel
def _dup(words, n_words, characters, sizes, limits, table, before):  # type: ignore[no-untyped-def]
    """The code, counted from the first of these, of the first size whose repeats make up too much of the text."""
    if len(sizes) == 0:
        return 0
    least = sizes.min()
    table = table[: room_for(n_words)]
    if n_words < least or not _mark_repeats(words, n_words, least, table, before):
        return 0
    for k in range(len(sizes)):
        most = _covered(words, n_words, sizes[k], least, before)
        if most / characters > limits[k] and _repeated(words, n_words, sizes[k], table) / characters > limits[k]:
            return N_FIXED + 1 + k
    return 0


@kernel
def _mark_repeats(words, n_words, n, table, before):  # type: ignore[no-untyped-def]
    """Mark where an n-gram begins that began earlier too. Returns whether there is any."""
    table[:] = U0
    found = False
    for i in range(n_words - n + 1):
        key = hash_run(words, i, n)
        slot = slot_of(table, key)
        before[i] = table[slot] == key
        found |= before[i]
        table[slot] = key
    return found


@kernel
def _covered(words, n_words, n, least, before):  # type: ignore[no-untyped-def]
    """Characters under n-grams that may be repeats: an upper bound of `_repeated`."""
    covered = run = free = 0
    for i in range(n_words - least + 1):
        run = run + 1 if before[i] else 0
        start = i - (n - least)
        if run > n - least:
            covered += _length(words, max(start, free), start + n - max(start, free))
            free = start + n
    return covered


@kernel
def _repeated(words, n_words, n, table):  # type: ignore[no-untyped-def]
    """Characters of n-grams that occurred before, none counted twice: datatrove's `find_all_duplicate`."""
    table[:] = U0
    i = repeated = 0
    while i < n_words - n + 1:
        key = hash_run(words, i, n)
        slot = slot_of(table, key)
        if table[slot] == key:
            repeated += _length(words, i, n)
            i += n
        else:
            table[slot] = key
            i += 1
    return repeated

"""Find the merges of a byte-level BPE from counted words: the same merges as `tokenizers`.

The rule of `tokenizers`: merge the most frequent pair of neighbouring entries; of equally frequent pairs, the one with
the lowest ids (first, then second). The rule is not defined where two different merges make the same string:
`tokenizers` then uses the earlier entry again, and the result depends on the order of a hash map. In that case this
trainer returns None and `tokenizers` does the training.

For each pair a linked list holds the words it occurs in, the newest first, and some in which it occurred earlier. The
heap holds every pair that was ever seen, with its count at that time; an entry with an outdated count is pushed again
with the current one.

Hash table and heap are arrays: numba takes 2.5 s longer to compile a `typed.Dict` and `heapq`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gpts_data.pipelines.kernel import Int64Array, UInt64Array, inner_kernel, kernel
from gpts_data.tokenizer.word_counts import Int32Array, WordCounts

Integer = int | np.int64  # mypy calls only the first one `int`, numba both
_BASE = np.uint64(0x100000001B3)  # of the hash of strings: a polynomial in it, modulo 2**64
_MULTIPLIER, _HIGH_HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)  # of the hash of pairs
FIRST_SLOTS = 1 << 17  # twice the 65,536 pairs of bytes
PAIR, TOTAL, LAST, PUSHED = range(4)
"""Columns of the table of pairs: left << 32 | right, count, newest link of its list, count when pushed on the heap."""
ROWS, LINKS, ENTRIES, MERGED = range(4)
"""Sizes: rows of the table and links of the lists that are used, entries of the heap, merges found."""
FINISHED, AMBIGUOUS, SLOTS_FULL = range(3)


class _Words(NamedTuple):
    """The words of the training text. Those of word w are symbols[spans[w, 0] : spans[w, 1]], ids of entries."""

    symbols: Int32Array
    spans: Int64Array
    counts: Int64Array


class _Pairs(NamedTuple):
    """All pairs that were seen. `slots` is a hash table with open addressing: the row of a pair, or -1."""

    table: Int64Array
    chain: Int32Array
    """The links of all lists: word, next link."""
    heap: Int32Array
    """The rows of pairs, the most frequent one first."""
    slots: Int32Array
    sizes: Int64Array


def find_merges(words: WordCounts, byte_ids: Int32Array, names: list[str], vocab_size: int) -> Int32Array | None:
    """Pairs of ids in the order of merging, int32, shape (merges, 2); merge n makes entry `len(names) + n`.

    Args:
        words: The words of the training text and their counts.
        byte_ids: The entry of each byte, int32, shape (256,).
        names: The strings of all entries before the first merge.
        vocab_size: Number of entries to reach; there are fewer when no pair is left.

    Returns None when two merges would make the same string.
    """
    strings = np.zeros((max(vocab_size, len(names)), 2), np.uint64)  # hash of each entry's string, and _BASE**length
    for i, name in enumerate(names):
        hashed, power = 0, 1
        for char in name:
            hashed, power = (hashed * int(_BASE) + ord(char) + 1) % 2**64, power * int(_BASE) % 2**64
        strings[i] = hashed, power
    merges = np.empty((max(vocab_size - len(names), 0), 2), np.int32)
    spans = np.stack([np.concatenate([[0], words.ends])[:-1], words.ends], axis=1)
    units = _Words(byte_ids[words.word_bytes], spans, words.counts)
    room = 3 * len(units.symbols) + 1  # a merge in a word removes one symbol and makes at most two new pairs
    table, chain, heap = np.empty((room, 4), np.int64), np.empty((room, 2), np.int32), np.empty(room, np.int32)
    pairs = _Pairs(table, chain, heap, np.full(FIRST_SLOTS, -1, np.int32), np.zeros(4, np.int64))
    while (end := _merge(units, pairs, strings, merges, len(names))) == SLOTS_FULL:
        pairs = pairs._replace(slots=np.full(4 * len(pairs.slots), -1, np.int32))
    return None if end == AMBIGUOUS else merges[: pairs.sizes[MERGED]]


@kernel
def _merge(words: _Words, pairs: _Pairs, strings: UInt64Array, merges: Int32Array, first: int) -> int:
    """Write merges. Returns FINISHED, AMBIGUOUS if two of them make the same string, or SLOTS_FULL if the caller must
    call again with more slots, all of them free. Overwrites the words."""
    table, sizes = pairs.table, pairs.sizes
    for row in range(sizes[ROWS]):
        pairs.slots[_slot_of(table[row, PAIR], pairs)] = row
    if sizes[ROWS] == 0:
        _count_pairs(words, pairs)
    while sizes[MERGED] < len(merges) and sizes[ENTRIES]:
        new = first + sizes[MERGED]
        if 2 * (sizes[ROWS] + 2 * new + 1) > len(pairs.slots):  # a merge makes at most one pair with each entry, twice
            return SLOTS_FULL
        row = _pop(pairs)
        if table[row, TOTAL] <= 0:
            continue
        if table[row, TOTAL] != table[row, PUSHED]:
            _push(row, pairs)
            continue
        left, right = table[row, PAIR] >> 32, table[row, PAIR] & 0xFFFFFFFF
        merges[sizes[MERGED], 0], merges[sizes[MERGED], 1] = left, right
        if _is_known_string(strings, left, right, new):
            return AMBIGUOUS
        known = sizes[ROWS]
        _merge_pair(left, right, table[row, LAST], new, words, pairs)
        for new_row in range(known, sizes[ROWS]):
            _push(new_row, pairs)
        sizes[MERGED] += 1
    return FINISHED


@inner_kernel
def _is_known_string(strings: UInt64Array, left: int, right: int, new: int) -> bool:
    """Store the hash of the string of entry `new`, merged from two; whether an earlier entry has the same string."""
    strings[new, 0] = strings[left, 0] * strings[right, 1] + strings[right, 0]
    strings[new, 1] = strings[left, 1] * strings[right, 1]
    for i in range(new):  # noqa: SIM110
        if strings[i, 0] == strings[new, 0]:
            return True
    return False


@inner_kernel
def _count_pairs(words: _Words, pairs: _Pairs) -> None:
    """Count the pairs of all words, and push them on the heap."""
    symbols, spans = words.symbols, words.spans
    for word in range(len(spans)):
        for i in range(spans[word, 0], spans[word, 1] - 1):
            _add_to_pair(np.int64(symbols[i]), np.int64(symbols[i + 1]), words.counts[word], word, pairs)
    for row in range(pairs.sizes[ROWS]):
        _push(row, pairs)


@inner_kernel
def _slot_of(pair: Integer, pairs: _Pairs) -> Any:
    """The slot of a pair, or the free one where it belongs."""
    mask = np.uint64(len(pairs.slots) - 1)
    hashed = np.uint64(pair) * _MULTIPLIER
    slot = (hashed ^ (hashed >> _HIGH_HALF)) & mask
    while pairs.slots[slot] >= 0 and pairs.table[pairs.slots[slot], PAIR] != pair:
        slot = (slot + np.uint64(1)) & mask
    return slot


@inner_kernel
def _add_to_pair(left: Integer, right: Integer, count: int, word: Integer, pairs: _Pairs) -> None:
    """Add `count` to a pair's total, and `word` to its list unless it is the newest there."""
    table, chain, sizes = pairs.table, pairs.chain, pairs.sizes
    pair = left << 32 | right
    slot = _slot_of(pair, pairs)
    row = np.int64(pairs.slots[slot])
    if row < 0:
        row = sizes[ROWS]
        table[row, PAIR], table[row, TOTAL], table[row, LAST] = pair, 0, -1
        pairs.slots[slot] = row
        sizes[ROWS] += 1
    table[row, TOTAL] += count
    last = table[row, LAST]
    if count > 0 and (last < 0 or chain[last, 0] != word):
        chain[sizes[LINKS], 0], chain[sizes[LINKS], 1] = word, last
        table[row, LAST] = sizes[LINKS]
        sizes[LINKS] += 1


@inner_kernel
def _merge_pair(left: int, right: int, link: Integer, new: int, words: _Words, pairs: _Pairs) -> None:
    """Replace a pair by `new` in every word of the list that begins with `link`, from left to right in each."""
    symbols, spans = words.symbols, words.spans
    while link >= 0:
        word, link = np.int64(pairs.chain[link, 0]), np.int64(pairs.chain[link, 1])
        begin, end, count = spans[word, 0], spans[word, 1], words.counts[word]
        write = read = begin
        while read < end:
            symbols[write] = symbols[read]
            if symbols[read] == left and read + 1 < end and symbols[read + 1] == right:
                if write > begin:
                    before = np.int64(symbols[write - 1])
                    _add_to_pair(before, left, -count, word, pairs)
                    _add_to_pair(before, new, count, word, pairs)
                if read + 2 < end:
                    after = np.int64(symbols[read + 2])
                    _add_to_pair(right, after, -count, word, pairs)
                    _add_to_pair(new, after, count, word, pairs)
                symbols[write] = new
                read += 1
            read += 1
            write += 1
        spans[word, 1] = write


@inner_kernel
def _is_before(first: Integer, second: Integer, table: Int64Array) -> bool:
    """Whether the pair of the row `first` was more frequent when it was pushed, or as frequent and has lower ids."""
    if table[first, PUSHED] != table[second, PUSHED]:
        return bool(table[first, PUSHED] > table[second, PUSHED])
    return bool(table[first, PAIR] < table[second, PAIR])


@inner_kernel
def _push(row: int, pairs: _Pairs) -> None:
    """Put a pair on the heap with its current count: a binary heap, as that of `heapq`."""
    table, heap = pairs.table, pairs.heap
    table[row, PUSHED] = table[row, TOTAL]
    place = pairs.sizes[ENTRIES]
    pairs.sizes[ENTRIES] += 1
    while place > 0 and _is_before(row, np.int64(heap[(place - 1) >> 1]), table):
        heap[place] = heap[(place - 1) >> 1]
        place = (place - 1) >> 1
    heap[place] = row


@inner_kernel
def _pop(pairs: _Pairs) -> Any:
    """Take the first pair from the heap, and return its row."""
    table, heap = pairs.table, pairs.heap
    first = np.int64(heap[0])
    pairs.sizes[ENTRIES] -= 1
    size = pairs.sizes[ENTRIES]
    row = np.int64(heap[size])
    place, child = 0, 1
    while child < size:
        if child + 1 < size and _is_before(np.int64(heap[child + 1]), np.int64(heap[child]), table):
            child += 1
        if not _is_before(np.int64(heap[child]), row, table):
            break
        heap[place] = heap[child]
        place, child = child, 2 * child + 1
    heap[place] = row
    return first

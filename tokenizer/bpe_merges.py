"""Find the merges of a byte-level BPE from counted words: the same merges as `tokenizers`.

The rule of `tokenizers`: merge the most frequent pair of neighbouring entries; of equally frequent pairs, the one with
the lowest ids (first, then second). The rule is not defined where two different merges make the same string:
`tokenizers` then uses the earlier entry again, and the result depends on the order of a hash map. In that case this
trainer returns None and `tokenizers` does the training.

For each pair a linked list holds the words it occurs in, the newest first, and some in which it occurred earlier. The
heap holds every pair that was ever seen, with its count at that time; an entry with an outdated count is pushed again
with the current one.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

import numba
import numpy as np

from gpts_data.pipelines.kernel import Int64Array, UInt64Array, allocating_inner_kernel, allocating_kernel, inner_kernel
from gpts_data.tokenizer.word_counts import Int32Array, WordCounts

Numbers = Any
"""A numba.typed.Dict from a pair (left << 32 | right) to its row in the table of pairs."""
Integer = int | np.int64  # mypy calls only the first one `int`, numba both
_BASE = np.uint64(0x100000001B3)  # of the hash of strings: a polynomial in it, modulo 2**64
PAIR, TOTAL, LAST = range(3)  # columns of the table of pairs: left << 32 | right, count, newest link of the list


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
    merges: Int32Array
    merges, is_ambiguous = _merge(byte_ids[words.word_bytes], words.ends, words.counts, strings, len(names), vocab_size)
    return None if is_ambiguous else merges


@allocating_kernel
def _merge(
    symbols: Int32Array, ends: Int64Array, counts: Int64Array, strings: UInt64Array, first: int, vocab_size: int
) -> tuple[Int32Array, bool]:
    """(merges, whether two of them make the same string). Overwrites `symbols`, the ids of all words."""
    merges = np.empty((max(vocab_size - first, 0), 2), np.int32)
    spans = np.stack((np.concatenate((np.zeros(1, np.int64), ends))[:-1], ends), axis=1)
    room = 3 * len(symbols) + 1  # a merge in a word removes one symbol and makes at most two new pairs
    numbers, table = numba.typed.Dict.empty(numba.int64, numba.int64), np.empty((room, 3), np.int64)
    chain = np.empty((room, 2), np.int32)  # links of the lists: word, next link
    used = _count_pairs(symbols, spans, counts, numbers, table, chain)
    heap = [(-table[i, TOTAL], table[i, PAIR]) for i in range(len(numbers))]
    heapify(heap)
    done = 0
    while done < len(merges) and len(heap):
        total, pair = heappop(heap)
        current = table[numbers[pair], TOTAL]
        if current <= 0:
            continue
        if current != -total:
            heappush(heap, (-current, pair))
            continue
        merges[done, 0], merges[done, 1] = pair >> 32, pair & 0xFFFFFFFF
        if _is_known_string(strings, merges[done], first + done):
            return merges, True
        known = len(numbers)
        used = _merge_pair(pair, first + done, symbols, spans, counts, numbers, table, chain, used)
        for i in range(known, len(numbers)):
            heappush(heap, (-table[i, TOTAL], table[i, PAIR]))
        done += 1
    return merges[:done], False


@inner_kernel
def _is_known_string(strings: UInt64Array, pair: Int32Array, new: int) -> bool:
    """Store the hash of the string of entry `new`, merged from `pair`; whether an earlier entry has the same string."""
    left, right = pair[0], pair[1]
    strings[new, 0] = strings[left, 0] * strings[right, 1] + strings[right, 0]
    strings[new, 1] = strings[left, 1] * strings[right, 1]
    for i in range(new):  # noqa: SIM110
        if strings[i, 0] == strings[new, 0]:
            return True
    return False


@allocating_inner_kernel
def _count_pairs(
    symbols: Int32Array, spans: Int64Array, counts: Int64Array, numbers: Numbers, table: Int64Array, chain: Int32Array
) -> int:
    """Count the pairs of all words; returns how many links of `chain` are used."""
    used = 0
    for word in range(len(spans)):
        for i in range(spans[word, 0], spans[word, 1] - 1):
            used = _add_to_pair(
                np.int64(symbols[i]), np.int64(symbols[i + 1]), counts[word], word, numbers, table, chain, used
            )
    return used


@allocating_inner_kernel
def _add_to_pair(
    left: Integer,
    right: Integer,
    count: int,
    word: Integer,
    numbers: Numbers,
    table: Int64Array,
    chain: Int32Array,
    used: int,
) -> int:
    """Add `count` to a pair's total, and `word` to its list unless it is the newest there; returns the links used."""
    pair = np.int64(left) << 32 | np.int64(right)
    if pair not in numbers:
        number = len(numbers)
        table[number, PAIR], table[number, TOTAL], table[number, LAST] = pair, 0, -1
        numbers[pair] = number
    number = numbers[pair]
    table[number, TOTAL] += count
    last = table[number, LAST]
    if count > 0 and (last < 0 or chain[last, 0] != word):
        chain[used, 0], chain[used, 1] = word, last
        table[number, LAST] = used
        used += 1
    return used


@allocating_inner_kernel
def _merge_pair(
    pair: int,
    new: int,
    symbols: Int32Array,
    spans: Int64Array,
    counts: Int64Array,
    numbers: Numbers,
    table: Int64Array,
    chain: Int32Array,
    used: int,
) -> int:
    """Replace the pair by `new` in every word that has it, from left to right; returns the links used."""
    left, right = pair >> 32, pair & 0xFFFFFFFF
    link = table[numbers[pair], LAST]
    while link >= 0:
        word, link = np.int64(chain[link, 0]), np.int64(chain[link, 1])
        begin, end = spans[word, 0], spans[word, 1]
        write = read = begin
        while read < end:
            symbols[write] = symbols[read]
            if symbols[read] == left and read + 1 < end and symbols[read + 1] == right:
                if write > begin:
                    before = np.int64(symbols[write - 1])
                    used = _add_to_pair(before, left, -counts[word], word, numbers, table, chain, used)
                    used = _add_to_pair(before, new, counts[word], word, numbers, table, chain, used)
                if read + 2 < end:
                    after = np.int64(symbols[read + 2])
                    used = _add_to_pair(right, after, -counts[word], word, numbers, table, chain, used)
                    used = _add_to_pair(new, after, counts[word], word, numbers, table, chain, used)
                symbols[write] = new
                read += 1
            read += 1
            write += 1
        spans[word, 1] = write
    return used

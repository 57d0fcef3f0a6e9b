"""The merges of a byte-level BPE from counted words: those of `tokenizers`, one for one.

Its rule: of all pairs of neighbouring entries the most frequent, of equally frequent ones that with the lowest ids
(first, then second). It breaks down where two ways of merging give one string: `tokenizers` then uses the old entry
again, and what follows depends on the order of a hash map. There this trainer gives up and `tokenizers` is asked.

A pair's places are a chain of words, newest first: every word that has the pair, and some that had it. The heap holds
every pair that ever came up with a count it had then; a stale one is put back with the count it has now.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

import numba
import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel
from gpts_data.tokenizer.word_counts import WordCounts

_BASE = np.uint64(0x100000001B3)
PAIR, TOTAL, LAST = range(3)  # columns of the table of pairs: left << 32 | right, count, newest link of the chain


def find_merges(
    words: WordCounts, ids: NDArray[np.int32], names: list[str], vocab_size: int
) -> NDArray[np.int32] | None:
    """Pairs of ids in the order of merging, int32, shape (merges, 2); the n-th makes entry `len(names) + n`.

    `ids` is the entry of each byte, int32, shape (256,); `names` all entries there are before the first
    merge. Fewer merges than wanted when no pair is left. None where a string could be made in two ways.
    """
    strings = np.zeros((max(vocab_size, len(names)), 2), np.uint64)
    for i, name in enumerate(names):
        code, power = 0, 1
        for letter in name:
            code, power = (code * int(_BASE) + ord(letter) + 1) % 2**64, power * int(_BASE) % 2**64
        strings[i] = code, power
    found = _merge(ids[words.letters], words.ends, words.counts, strings, len(names), vocab_size)
    merges: NDArray[np.int32] = found[0]
    return None if found[1] else merges


@kernel
def _merge(symbols, ends, counts, strings, first, vocab_size):  # type: ignore[no-untyped-def]
    """(merges, whether one string came twice). `symbols` is used up."""
    merges = np.empty((max(vocab_size - first, 0), 2), np.int32)
    spans = np.stack((np.concatenate((np.zeros(1, np.int64), ends))[:-1], ends), axis=1)
    room = 3 * len(symbols) + 1  # every merge in a word makes one symbol fewer and two pairs at most
    numbers, table = numba.typed.Dict.empty(numba.int64, numba.int64), np.empty((room, 3), np.int64)
    chain = np.empty((room, 2), np.int32)
    used = _count_pairs(symbols, spans, counts, numbers, table, chain)
    heap = [(-table[i, TOTAL], table[i, PAIR]) for i in range(len(numbers))]
    heapify(heap)
    done = 0
    while done < len(merges) and len(heap):
        total, pair = heappop(heap)
        now = table[numbers[pair], TOTAL]
        if now <= 0:
            continue
        if now != -total:
            heappush(heap, (-now, pair))
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


@kernel
def _is_known_string(strings, pair, new):  # type: ignore[no-untyped-def]
    """Write down the string of entry `new`, merged from `pair`; whether an entry before it has that string."""
    left, right = pair[0], pair[1]
    strings[new, 0] = strings[left, 0] * strings[right, 1] + strings[right, 0]
    strings[new, 1] = strings[left, 1] * strings[right, 1]
    for i in range(new):  # noqa: SIM110
        if strings[i, 0] == strings[new, 0]:
            return True
    return False


@kernel
def _count_pairs(symbols, spans, counts, numbers, table, chain):  # type: ignore[no-untyped-def]
    """Count the pairs of all words; returns how much of `chain` is used."""
    used = 0
    for word in range(len(spans)):
        for i in range(spans[word, 0], spans[word, 1] - 1):
            used = _add_to_pair(symbols[i], symbols[i + 1], counts[word], word, numbers, table, chain, used)
    return used


@kernel
def _add_to_pair(left, right, count, word, numbers, table, chain, used):  # type: ignore[no-untyped-def]
    """Add to a pair's total, and the word to its chain if it is not the one added last."""
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


@kernel
def _merge_pair(pair, new, symbols, spans, counts, numbers, table, chain, used):  # type: ignore[no-untyped-def]
    """Put `new` for the pair in every word that has it, from left to right."""
    left, right = pair >> 32, pair & 0xFFFFFFFF
    place = table[numbers[pair], LAST]
    while place >= 0:
        word, place = chain[place, 0], chain[place, 1]
        begin, end = spans[word, 0], spans[word, 1]
        write = read = begin
        while read < end:
            symbols[write] = symbols[read]
            if symbols[read] == left and read + 1 < end and symbols[read + 1] == right:
                if write > begin:
                    before = symbols[write - 1]
                    used = _add_to_pair(before, left, -counts[word], word, numbers, table, chain, used)
                    used = _add_to_pair(before, new, counts[word], word, numbers, table, chain, used)
                if read + 2 < end:
                    after = symbols[read + 2]
                    used = _add_to_pair(right, after, -counts[word], word, numbers, table, chain, used)
                    used = _add_to_pair(new, after, counts[word], word, numbers, table, chain, used)
                symbols[write] = new
                read += 1
            read += 1
            write += 1
        spans[word, 1] = write
    return used

"""Which n-grams of a fixed table a text contains: word n-grams as 64-bit hashes, found at the speed of hashing words.

Words are those of near-duplicates (shingles.py) with digits kept apart. A text of the table with fewer than `n` words
is one n-gram of its own length, so n-grams of several lengths are looked for. All begin with LEAST words or more: one
rolling hash of that many words and one bit per word of a document say, mostly, that nothing begins here.

Two unequal n-grams coincide with probability 2^-64: 7e-3 such pairs are expected for 2e10 words of documents, 1e6
n-grams and six lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hashing import U0, U1, mix64, string_buffers
from gpts_data.pipelines.text.normalization import NOTHING, SEPARATOR, normalization_table
from gpts_data.pipelines.text.shingles import BASE, hash_words

MIN_WORDS = 8  # words of a text that is looked for as a whole; fewer are ordinary English
_BITS_EACH = 32  # of the filter, for each n-gram: one place in 32 looks further in vain
_U6, _U63 = np.uint64(6), np.uint64(63)
_NONE = np.uint32(0xFFFFFFFF)
_FIRST_ROOM = 1 << 12  # matches; doubled when it is full


@dataclass(frozen=True)
class Ngrams:
    """Distinct n-grams, ascending by `hashes` (uint64). `anchors` (uint64) are the hashes of their first words, as many
    as the shortest may have. Each stands first in text `texts` (uint32), from word `starts` (uint32) on, `lengths`
    (uint8) words long."""

    hashes: NDArray[np.uint64]
    anchors: NDArray[np.uint64]
    texts: NDArray[np.uint32]
    starts: NDArray[np.uint32]
    lengths: NDArray[np.uint8]


def build_ngrams(texts: pa.Array, n: int) -> Ngrams:
    """The n-grams of a column of strings; texts of fewer words than LEAST, and than `n`, have none."""
    buffers = string_buffers(texts)
    room = int(_count(*buffers, normalization_table(True), n))
    found = Ngrams(
        np.empty(room, np.uint64),
        np.empty(room, np.uint64),
        np.empty(room, np.uint32),
        np.empty(room, np.uint32),
        np.empty(room, np.uint8),
    )
    _cut(*buffers, normalization_table(True), n, found.hashes, found.anchors, found.texts, found.starts, found.lengths)
    hashes, first = np.unique(found.hashes, return_index=True)  # the first of equal ones
    return Ngrams(hashes, found.anchors[first], found.texts[first], found.starts[first], found.lengths[first])


class NgramMatcher:
    """Finds n-grams in texts: a filter of their anchors, and an open-addressing table of their hashes."""

    def __init__(self, ngrams: Ngrams, n: int) -> None:
        self._least = min(n, MIN_WORDS)
        self._hashes = ngrams.hashes
        self._lengths = np.zeros(n + 1, np.bool_)
        self._lengths[ngrams.lengths] = True
        bits = 1 << max(6, (_BITS_EACH * len(ngrams.hashes) - 1).bit_length())
        self._filter = np.zeros(bits // 64, np.uint64)
        self._slots = np.full(1 << (2 * len(ngrams.hashes)).bit_length(), _NONE)
        _fill(self._filter, ngrams.anchors, self._slots, ngrams.hashes)

    def find(self, texts: pa.Array) -> pa.ListArray:
        """Of each text the n-grams it contains, each once, where it first stands; numbers in the table. list<uint32>"""
        data, offsets = string_buffers(texts)
        ends = np.zeros(len(offsets), np.int32)
        found = _find(
            data,
            offsets,
            normalization_table(True),
            self._least,
            self._lengths,
            self._filter,
            self._slots,
            self._hashes,
            ends,
        )
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(found))


@kernel
def _room(offsets):  # type: ignore[no-untyped-def]
    """For the words of the longest text."""
    longest = 0
    for row in range(len(offsets) - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    return np.empty(longest // 2 + 1, np.uint64)


@kernel
def _count(data, offsets, letters, n):  # type: ignore[no-untyped-def]
    words, count = _room(offsets), 0
    for row in range(len(offsets) - 1):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, words)
        if n_words >= min(n, MIN_WORDS):
            count += max(n_words - n, 0) + 1
    return count


@kernel
def _cut(data, offsets, letters, n, hashes, anchors, texts, starts, lengths):  # type: ignore[no-untyped-def]
    words, i, least = _room(offsets), 0, min(n, MIN_WORDS)
    for row in range(len(offsets) - 1):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, words)
        if n_words < least:
            continue
        length = min(n_words, n)
        for start in range(n_words - length + 1):
            anchors[i] = _roll(U0, words, start, start + least)
            hashes[i] = mix64(_roll(anchors[i], words, start + least, start + length))
            texts[i], starts[i], lengths[i] = row, start, length
            i += 1


@kernel
def _roll(rolling, words, start, stop):  # type: ignore[no-untyped-def]
    """The polynomial in the hashes of words, continued."""
    for k in range(start, stop):
        rolling = rolling * BASE + words[k]
    return rolling


@kernel
def _bit(anchor, filter_):  # type: ignore[no-untyped-def]
    """Which bit of the filter is the anchor's. Its own low bits are those of its words, spread well."""
    return anchor & np.uint64(len(filter_) * 64 - 1)


@kernel
def _fill(filter_, anchors, slots, hashes):  # type: ignore[no-untyped-def]
    for i in range(len(hashes)):
        bit = _bit(anchors[i], filter_)
        filter_[bit >> _U6] |= U1 << (bit & _U63)
        slots[_slot(slots, hashes, hashes[i])] = i


@kernel
def _slot(slots, hashes, key):  # type: ignore[no-untyped-def]
    """Where the number of `key` is, or the empty slot where it belongs; at most half the slots are used."""
    mask = np.uint64(len(slots) - 1)
    slot = key & mask
    while slots[slot] != _NONE and hashes[slots[slot]] != key:
        slot = (slot + U1) & mask
    return slot


@kernel
def _find(data, offsets, letters, least, lengths, filter_, slots, hashes, ends):  # type: ignore[no-untyped-def]
    words, found, n = _room(offsets), np.empty(_FIRST_ROOM, np.uint32), 0
    seen = np.zeros(len(hashes), np.int32)  # the last row, counted from 1, that has the n-gram
    top = U1
    for _ in range(least - 1):
        top *= BASE
    for row in range(len(offsets) - 1):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, words)
        rolling = _roll(U0, words, 0, min(least - 1, n_words))
        for start in range(n_words - least + 1):
            rolling = rolling * BASE + words[start + least - 1]
            bit = _bit(rolling, filter_)
            if filter_[bit >> _U6] >> (bit & _U63) & U1:
                if n + len(lengths) > len(found):
                    found = np.concatenate((found, np.empty_like(found)))
                n = _match(rolling, words, n_words, start, least, lengths, slots, hashes, seen, row + 1, found, n)
            rolling -= words[start] * top
        ends[row + 1] = n
    return found[:n]


@kernel
def _match(rolling, words, n_words, start, least, lengths, slots, hashes, seen, row, found, n):  # type: ignore[no-untyped-def]
    """Append the n-grams of every length that begin with the anchor at `start`. Returns how many are found now."""
    for length in range(least, min(len(lengths) - 1, n_words - start) + 1):
        if length > least:
            rolling = rolling * BASE + words[start + length - 1]
        if lengths[length]:
            number = slots[_slot(slots, hashes, mix64(rolling))]
            if number != _NONE and seen[number] != row:
                seen[number] = row
                found[n] = number
                n += 1
    return n


def text_of(text: str, start: int, length: int) -> str:
    """Words `start..start + length` of a text, as they stand there."""
    places = _words(text)[start : start + length]
    return text[places[0][0] : places[-1][1]]


def _words(text: str) -> list[tuple[int, int]]:
    """Where words begin and end: `hash_words` in plain Python."""
    table = normalization_table(True)
    found: list[tuple[int, int]] = []
    begin = -1
    for i, code_point in enumerate(map(ord, text + " ")):
        letter = table[code_point] if code_point < len(table) else code_point
        if letter == SEPARATOR and begin >= 0:
            found.append((begin, i))
            begin = -1
        elif letter not in (SEPARATOR, NOTHING) and begin < 0:
            begin = i
    return found

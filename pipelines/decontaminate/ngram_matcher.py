"""Find which n-grams of a fixed table a text contains: word n-grams as 64-bit hashes, at the speed of hashing words.

Words are those of near-duplicate detection (shingles.py), except that scripts without spaces are not split into
characters: 13 characters of Thai are three words. A text of the table with fewer than `n` words is one n-gram of its
own length, so n-grams of several lengths are searched for. All have MIN_WORDS words or more (`n` if that is less). The
first that many words of an n-gram are its anchor: a rolling hash over so many words and a filter of one bit rule out,
at nearly every word of a document, that any n-gram begins there.

Two unequal n-grams have equal hashes with probability 2^-64: 7e-3 such pairs are expected for 2e10 words of documents,
1e6 n-grams and six lengths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import BoolArray, Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.hashing import U0, U1, mix64, string_buffers
from gpts_data.pipelines.text.normalization import NOTHING, SEPARATOR, normalization_table
from gpts_data.pipelines.text.shingles import BASE, hash_words

Int32Array = NDArray[np.int32]
UInt32Array = NDArray[np.uint32]

MIN_WORDS = 8  # words of the shortest text that is searched for as a whole; fewer occur in ordinary English
_BITS_PER_NGRAM = 32  # of the filter: at one word in 32 of other text a hash is looked up in vain
_U6, _U63 = np.uint64(6), np.uint64(63)
_EMPTY = np.uint32(0xFFFFFFFF)
_FIRST_CAPACITY = 1 << 12  # of the array of matches; texts with more are searched again with a larger one


class Ngrams(NamedTuple):
    """Distinct n-grams in ascending order of their hashes, one entry per n-gram in each array.

    hashes: uint64. anchors: uint64, rolling hashes of their first words. texts, starts, lengths: uint32, uint32, uint8;
    where the n-gram occurs first: number of the text, its first word there, its number of words.
    """

    hashes: UInt64Array
    anchors: UInt64Array
    texts: UInt32Array
    starts: UInt32Array
    lengths: UInt8Array


class _Table(NamedTuple):
    """What the kernels search with.

    anchor_words: words of an anchor. lengths: whether there are n-grams of each length. filter: one bit per anchor,
    uint64. slots: open-addressing table of indices in `hashes`.
    """

    anchor_words: int
    lengths: BoolArray
    filter: UInt64Array
    slots: UInt32Array
    hashes: UInt64Array


def build_ngrams(texts: pa.Array, n: int) -> Ngrams:
    """The n-grams of `n` words of a column of strings.

    A text of fewer than `n` words is one n-gram; one of fewer than MIN_WORDS and `n` words has none.
    """
    buffers = string_buffers(texts)
    words = _word_buffer(buffers[1])
    count = int(_count(*buffers, normalization_table(), n, words))
    ngrams = Ngrams(
        np.empty(count, np.uint64),
        np.empty(count, np.uint64),
        np.empty(count, np.uint32),
        np.empty(count, np.uint32),
        np.empty(count, np.uint8),
    )
    _build(*buffers, normalization_table(), n, words, ngrams)
    hashes, first = np.unique(ngrams.hashes, return_index=True)  # the first of those with equal hashes
    return Ngrams(hashes, ngrams.anchors[first], ngrams.texts[first], ngrams.starts[first], ngrams.lengths[first])


class NgramMatcher:
    """Finds n-grams in texts by a filter of their anchors and a hash table."""

    def __init__(self, ngrams: Ngrams, n: int) -> None:
        lengths = np.zeros(n + 1, np.bool_)
        lengths[ngrams.lengths] = True
        bits = 1 << max(6, (_BITS_PER_NGRAM * len(ngrams.hashes) - 1).bit_length())
        slots = np.full(1 << (2 * len(ngrams.hashes)).bit_length(), _EMPTY)
        self._table = _Table(min(n, MIN_WORDS), lengths, np.zeros(bits // 64, np.uint64), slots, ngrams.hashes)
        _fill(self._table, ngrams.anchors)

    def find(self, texts: pa.Array) -> pa.ListArray:
        """For each text the indices of the n-grams that it contains, each once, in the order of their first occurrence.

        Returns an array of list<uint32>.
        """
        data, offsets = string_buffers(texts)
        ends, words, capacity = np.zeros(len(offsets), np.int32), _word_buffer(offsets), _FIRST_CAPACITY
        while True:
            matches = np.empty(capacity + len(self._table.lengths), np.uint32)
            last_row = np.zeros(len(self._table.hashes), np.int32)
            n = _find(data, offsets, normalization_table(), self._table, words, last_row, matches, ends)
            if n >= 0:
                return pa.ListArray.from_arrays(pa.array(ends), pa.array(matches[:n]))
            capacity *= 8


def _word_buffer(offsets: Int64Array) -> UInt64Array:
    """An array with room for the words of the longest text."""
    return np.empty(int(np.diff(offsets).max(initial=0)) // 2 + 1, np.uint64)


@kernel
def _count(data: UInt8Array, offsets: Int64Array, letters: UInt32Array, n: int, words: UInt64Array) -> int:
    """The number of n-grams of all texts, repeated ones included."""
    count = 0
    for row in range(len(offsets) - 1):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, words)
        if n_words >= min(n, MIN_WORDS):
            count += max(n_words - n, 0) + 1
    return count


@kernel
def _build(
    data: UInt8Array, offsets: Int64Array, letters: UInt32Array, n: int, words: UInt64Array, ngrams: Ngrams
) -> None:
    """Write all n-grams of all texts into `ngrams`, in the order of the texts."""
    i, anchor_words = 0, min(n, MIN_WORDS)
    for row in range(len(offsets) - 1):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, words)
        if n_words < anchor_words:
            continue
        length = min(n_words, n)
        for start in range(n_words - length + 1):
            ngrams.anchors[i] = _roll(U0, words, start, start + anchor_words)
            ngrams.hashes[i] = mix64(_roll(ngrams.anchors[i], words, start + anchor_words, start + length))
            ngrams.texts[i], ngrams.starts[i], ngrams.lengths[i] = row, start, length
            i += 1


@inner_kernel
def _roll(rolling: np.uint64, words: UInt64Array, start: int, stop: int) -> np.uint64:
    """Continue the polynomial `rolling` over words[start:stop]."""
    for k in range(start, stop):
        rolling = rolling * BASE + words[k]
    return rolling


@inner_kernel
def _filter_bit(anchor: np.uint64, filter_: UInt64Array) -> np.uint64:
    """The bit of an anchor in the filter: its low bits, which are as random as the hashes of its words."""
    return anchor & np.uint64(len(filter_) * 64 - 1)


@kernel
def _fill(table: _Table, anchors: UInt64Array) -> None:
    for i in range(len(table.hashes)):
        bit = _filter_bit(anchors[i], table.filter)
        table.filter[bit >> _U6] |= U1 << (bit & _U63)
        table.slots[_slot(table.slots, table.hashes, table.hashes[i])] = i


@inner_kernel
def _slot(slots: UInt32Array, hashes: UInt64Array, key: np.uint64) -> np.uint64:
    """The slot that holds the index of `key`, or the empty slot where it belongs. At most half the slots are used."""
    mask = np.uint64(len(slots) - 1)
    slot = key & mask
    while slots[slot] != _EMPTY and hashes[slots[slot]] != key:
        slot = (slot + U1) & mask
    return slot


@kernel
def _find(
    data: UInt8Array,
    offsets: Int64Array,
    letters: UInt32Array,
    table: _Table,
    words: UInt64Array,
    last_row: Int32Array,
    matches: UInt32Array,
    ends: Int32Array,
) -> int:
    """Write the n-grams of all texts to `matches`, text after text, and where those of text i end to ends[i + 1].

    `last_row`, zeros, is the last row, counted from 1, that has the n-gram. Returns the number of matches, -1 if
    `matches` may be too small.
    """
    n, anchor_words, top = 0, table.anchor_words, U1
    for _ in range(anchor_words - 1):
        top *= BASE
    for row in range(len(offsets) - 1):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, words)
        rolling = _roll(U0, words, 0, min(anchor_words - 1, n_words))
        for start in range(n_words - anchor_words + 1):
            rolling = rolling * BASE + words[start + anchor_words - 1]
            bit = _filter_bit(rolling, table.filter)
            if table.filter[bit >> _U6] >> (bit & _U63) & U1:
                if n + len(table.lengths) > len(matches):
                    return -1
                n = _append_matches(rolling, words[start:n_words], table, last_row, row + 1, matches, n)
            rolling -= words[start] * top
        ends[row + 1] = n
    return n


@inner_kernel
def _append_matches(
    rolling: np.uint64,
    words: UInt64Array,
    table: _Table,
    last_row: Int32Array,
    row: int,
    matches: UInt32Array,
    n: int,
) -> int:
    """Append the n-grams of every length that begin with words[0], whose anchor is `rolling`, to matches[:n].

    Returns the number of matches.
    """
    for length in range(table.anchor_words, min(len(table.lengths) - 1, len(words)) + 1):
        if length > table.anchor_words:
            rolling = rolling * BASE + words[length - 1]
        if table.lengths[length]:
            number = table.slots[_slot(table.slots, table.hashes, mix64(rolling))]
            if number != _EMPTY and last_row[number] != row:
                last_row[number] = row
                matches[n] = number
                n += 1
    return n


def text_of(text: str, start: int, length: int) -> str:
    """Words `start` to `start + length` of a text, with its own case, accents and punctuation."""
    spans = _word_spans(text)[start : start + length]
    return text[spans[0][0] : spans[-1][1]]


def _word_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each word: `hash_words` in plain Python."""
    table = normalization_table()
    spans: list[tuple[int, int]] = []
    begin = -1
    for i, code_point in enumerate(map(ord, text + " ")):
        letter = table[code_point] if code_point < len(table) else code_point
        if letter == SEPARATOR and begin >= 0:
            spans.append((begin, i))
            begin = -1
        elif letter not in (SEPARATOR, NOTHING) and begin < 0:
            begin = i
    return spans

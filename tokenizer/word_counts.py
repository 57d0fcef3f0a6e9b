"""Split text into words with `PATTERN` and count them, in one pass over its bytes.

`tokenizers` spends most of the training time on this. The kernel `word_end` tries the pattern's alternatives one after
the other. Which characters are letters, numbers and white space is read from `tokenizers` itself, so that both follow
the same version of Unicode.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.tokenizer.pretokenizer import spans

Int32Array = NDArray[np.int32]

OTHER, LETTER, NUMBER, SPACE, NEWLINE = range(5)  # kinds of characters
TEXTS_PER_BATCH = 16  # a few, since the arrays grow by as many words as a batch has bytes
CODE_POINTS_PER_BATCH = 0x800  # the time of `tokenizers` grows with the square of a text's length
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_ASSIGNED = ((0, 0xD800), (0xE000, 0x40000), (0xE0000, 0xE2000))  # code points that are looked up, without surrogates
_LONG_S = 0x17F  # the letter \u017f, which `(?i:s)` matches too
_ONE_LETTER, _FIRST_OF_TWO = (sum(1 << ord(letter) - 0x61 for letter in letters) for letters in ("stmd", "rvl"))
"""A bit for each letter that is a contraction's ending, and for each that begins one of two letters."""


@lru_cache(maxsize=1)
def char_kinds() -> NDArray[np.uint8]:
    """The kind of each code point (OTHER, LETTER, NUMBER, SPACE or NEWLINE), uint8, shape (0x110000,).

    `tokenizers` is not asked about planes 4 to 13, which have no characters yet, and the private planes 15 and 16: that
    would take seconds.
    """
    table, firsts = np.empty(0x110000, np.uint8), list[int]()  # firsts: where a run of one kind begins
    for first in chain.from_iterable(range(*block, CODE_POINTS_PER_BATCH) for block in _ASSIGNED):
        text = "".join(map(chr, range(first, first + CODE_POINTS_PER_BATCH)))
        firsts += [first + start for start, _ in spans(r"\p{L}+|\p{N}+|\s+|[^\s\p{L}\p{N}]+", text)]
    kinds = np.full(len(firsts), OTHER, np.uint8)
    for kind, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s")):
        kinds[[start for start, _ in spans(pattern, "".join(map(chr, firsts)))]] = kind
    table[firsts[0] :] = np.repeat(kinds, np.diff([*firsts, 0x110000]))
    table[[0x0A, 0x0D]] = NEWLINE
    return table


class WordCounts:
    """How often each word occurs. Words are numbered in the order of their first occurrence.

    `count` is the number of different words, `size` the number of their bytes. `_slots` is a hash table with open
    addressing: the number of a word, or -1.
    """

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self._word_bytes = np.empty(1 << 16, np.uint8)
        self._ends = np.empty(1 << 12, np.int64)
        self._counts = np.empty(1 << 12, np.int64)
        self._hashes = np.empty(1 << 12, np.uint64)
        self._slots = np.full(1 << 13, -1, np.int32)
        self._are_slots_new = True

    def add(self, texts: Sequence[str]) -> None:
        """Count the words of the texts. A word ends where its text ends."""
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            parts = [text.encode() for text in texts[start : start + TEXTS_PER_BATCH]]
            data = np.frombuffer(b"".join(parts), np.uint8)
            self._make_room(len(data))
            ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
            self.count = _count_words(
                data,
                ends,
                char_kinds(),
                self._word_bytes,
                self._ends,
                self._counts,
                self._hashes,
                self._slots,
                self.count,
                self._are_slots_new,
            )
            self._are_slots_new = False
            self.size = int(self._ends[self.count - 1]) if self.count else 0

    @property
    def word_bytes(self) -> UInt8Array:
        """The UTF-8 bytes of all words, one word after the other, shape (size,)."""
        return self._word_bytes[: self.size]

    @property
    def ends(self) -> Int64Array:
        """Where each word ends in `word_bytes`, shape (count,)."""
        return self._ends[: self.count]

    @property
    def counts(self) -> Int64Array:
        """How often each word occurs, shape (count,)."""
        return self._counts[: self.count]

    def _make_room(self, more: int) -> None:
        """Grow the arrays for at most `more` new words with at most `more` bytes, and keep half of the slots free."""
        self._word_bytes = _enlarged(self._word_bytes, self.size + more)
        for name in ("_ends", "_counts", "_hashes"):
            setattr(self, name, _enlarged(getattr(self, name), self.count + more))
        if len(self._slots) < 2 * (self.count + more):
            self._slots = np.full(1 << (2 * (self.count + more)).bit_length(), -1, np.int32)
            self._are_slots_new = True


def _enlarged(array: NDArray[Any], size: int) -> NDArray[Any]:
    if len(array) >= size:
        return array
    larger = np.empty(max(size, 3 * len(array) // 2), array.dtype)  # pages that are not written to take no memory
    larger[: len(array)] = array
    return larger


@kernel
def _count_words(
    data: UInt8Array,
    text_ends: Int64Array,
    kinds: UInt8Array,
    word_bytes: UInt8Array,
    ends: Int64Array,
    counts: Int64Array,
    hashes: UInt64Array,
    slots: Int32Array,
    count: int,
    are_slots_new: bool,
) -> int:
    """Count the words of the texts in `data` that end at `text_ends`; returns the new number of different words.

    are_slots_new: whether no word is in `slots` yet.
    """
    if are_slots_new:
        _fill_slots(hashes, count, slots)
    mask = np.uint64(len(slots) - 1)
    start = 0
    for text_end in text_ends:
        while start < text_end:
            end = word_end(data, start, text_end, kinds)
            hashed = np.uint64(end - start)
            for i in range(start, end):
                hashed = (hashed ^ np.uint64(data[i])) * _PRIME
            hashed ^= hashed >> np.uint64(29)
            slot = hashed & mask
            while slots[slot] >= 0 and not _is_word(data, start, end, word_bytes, ends, hashes, slots[slot], hashed):
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] < 0:
                slots[slot] = count
                begin = ends[count - 1] if count else 0
                for i in range(end - start):  # assigning a slice would take numba 2.5 s longer to compile
                    word_bytes[begin + i] = data[start + i]
                ends[count], hashes[count], counts[count] = begin + end - start, hashed, 0
                count += 1
            counts[slots[slot]] += 1
            start = end
    return count


@inner_kernel
def _fill_slots(hashes: UInt64Array, count: int, slots: Int32Array) -> None:
    """Insert the first `count` words into an empty hash table."""
    mask = np.uint64(len(slots) - 1)
    for word in range(count):
        slot = hashes[word] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = word


@inner_kernel
def _is_word(
    data: UInt8Array,
    start: int,
    end: int,
    word_bytes: UInt8Array,
    ends: Int64Array,
    hashes: UInt64Array,
    word: int,
    hashed: np.uint64,
) -> bool:
    """Whether data[start:end], with this hash, is word number `word`."""
    if hashes[word] != hashed:
        return False
    begin = ends[word - 1] if word else 0
    if ends[word] - begin != end - start:
        return False
    for i in range(end - start):  # noqa: SIM110
        if word_bytes[begin + i] != data[start + i]:
            return False
    return True


@inner_kernel
def _decode_char(data: UInt8Array, i: int, text_end: int, kinds: UInt8Array) -> tuple[int, int, int]:
    """(code point, kind, start of the next character) of the character at `i`; the kind is -1 at the text's end."""
    if i >= text_end:
        return 0, -1, i
    first: Any = np.int64(data[i])
    if first < 0x80:
        return first, kinds[first], i + 1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    point = first & (0x7F >> size)
    for k in range(1, size):
        point = point << 6 | np.int64(data[i + k]) & 0x3F
    return point, kinds[point], i + size


@inner_kernel
def word_end(data: UInt8Array, i: int, text_end: int, kinds: UInt8Array) -> int:
    """Where the word that begins at `i` ends: what the first matching alternative of PATTERN matches."""
    end: int = 0
    point, kind, after = _decode_char(data, i, text_end, kinds)
    next_point, next_kind, next_after = _decode_char(data, after, text_end, kinds)
    if point == 0x27:  # apostrophe
        end = _contraction_end(next_point, next_after, data, text_end, kinds)
        if end:
            return end
    if kind == LETTER or (next_kind == LETTER and (kind in (OTHER, SPACE))):
        end = _run_end(data, after, text_end, kinds, LETTER)
    elif kind == NUMBER:
        end = after
    elif kind == OTHER or (point == 0x20 and next_kind == OTHER):
        end = _run_end(data, _run_end(data, after, text_end, kinds, OTHER), text_end, kinds, NEWLINE)
    else:
        end = _white_space_end(data, i, text_end, kinds)
    return end


@inner_kernel
def _contraction_end(point: int, after: int, data: UInt8Array, text_end: int, kinds: UInt8Array) -> int:
    """Where 's, 't, 're, 've, 'm, 'll or 'd, in any case, ends; 0 when there is none.

    `point` is the character behind the apostrophe, `after` where the next one begins.
    """
    if point == _LONG_S:
        return after
    letter = (point | 0x20) - 0x61  # from 0 for a, in lower or upper case
    if point >= 0x80 or letter < 0 or letter >= 26:
        return 0
    if _ONE_LETTER >> letter & 1:
        return after
    if _FIRST_OF_TWO >> letter & 1:
        point, _, end = _decode_char(data, after, text_end, kinds)
        if point < 0x80 and point | 0x20 == (0x6C if letter == 0x0B else 0x65):  # l after l, else e
            return end
    return 0


@inner_kernel
def _run_end(data: UInt8Array, i: int, text_end: int, kinds: UInt8Array, kind: int) -> int:
    """Where the run of characters of one kind that begins at `i` ends."""
    _, found, after = _decode_char(data, i, text_end, kinds)
    while found == kind:
        i = after
        _, found, after = _decode_char(data, i, text_end, kinds)
    return i


@inner_kernel
def _white_space_end(data: UInt8Array, i: int, text_end: int, kinds: UInt8Array) -> int:
    """Where the white space that begins at `i` ends as a word: behind its last newline if it has one, else at the end
    of the text, else before its last character, which belongs to the next word, unless that is all of it."""
    begin, last, newline = i, i, 0
    _, kind, after = _decode_char(data, i, text_end, kinds)
    while kind in (SPACE, NEWLINE):
        last, i = i, after
        newline = i if kind == NEWLINE else newline
        _, kind, after = _decode_char(data, i, text_end, kinds)
    if newline:
        return newline
    return i if i == text_end or last == begin else last

"""Text cut into words by `PATTERN` and counted, in one pass over its bytes.

`tokenizers` spends most of a training on this. The kernel follows the pattern alternative by alternative; what a
letter, a number and white space is, it asks `tokenizers` itself, so it is right for the Unicode of that version.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel
from gpts_data.tokenizer.pretokenizer import spans

OTHER, LETTER, NUMBER, SPACE, NEWLINE = range(5)
TEXTS_PER_BATCH = 16  # the tables get room for as many new words as these have bytes
CODE_POINTS_PER_BATCH = 0x800  # code points: the library's time goes with the square of a text's length
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_LONG_S = 0x17F  # `(?i:s)` is this letter too


@lru_cache(maxsize=1)
def char_kinds() -> NDArray[np.uint8]:
    """By code point: OTHER, LETTER, NUMBER, SPACE or NEWLINE. uint8, shape (0x110000,).

    Not asked, as that takes seconds: planes 4 to 13, without a character so far, and those for private use.
    """
    table, firsts = np.empty(0x110000, np.uint8), list[int]()
    for first in (
        *range(0, 0xD800, CODE_POINTS_PER_BATCH),
        *range(0xE000, 0x40000, CODE_POINTS_PER_BATCH),
        *range(0xE0000, 0xE2000, CODE_POINTS_PER_BATCH),
    ):
        text = "".join(map(chr, range(first, first + CODE_POINTS_PER_BATCH)))
        firsts += [first + start for start, _ in spans(r"\p{L}+|\p{N}+|\s+|[^\s\p{L}\p{N}]+", text)]
    kind = np.full(len(firsts), OTHER, np.uint8)
    for name, pattern in ((LETTER, r"\p{L}"), (NUMBER, r"\p{N}"), (SPACE, r"\s")):
        kind[[start for start, _ in spans(pattern, "".join(map(chr, firsts)))]] = name
    table[firsts[0] :] = np.repeat(kind, np.diff([*firsts, 0x110000]))
    table[[0x0A, 0x0D]] = NEWLINE
    return table


class WordCounts:
    """How often each word was there. Words are numbered in the order of their first occurrence."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self._letters = np.empty(1 << 16, np.uint8)
        self._ends = np.empty(1 << 12, np.int64)
        self._counts = np.empty(1 << 12, np.int64)
        self._hashes = np.empty(1 << 12, np.uint64)
        self._slots = np.full(1 << 13, -1, np.int32)

    def add(self, texts: Sequence[str]) -> None:
        """Count the words of the texts; no word reaches over the end of a text."""
        for start in range(0, len(texts), TEXTS_PER_BATCH):
            parts = [text.encode() for text in texts[start : start + TEXTS_PER_BATCH]]
            data = np.frombuffer(b"".join(parts), np.uint8)
            self._make_room(len(data))
            ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
            self.count = _count_words(
                data, ends, char_kinds(), self._letters, self._ends, self._counts, self._hashes, self._slots, self.count
            )
            self.size = int(self._ends[self.count - 1]) if self.count else 0

    @property
    def letters(self) -> NDArray[np.uint8]:
        """The bytes of all words, one after the other."""
        return self._letters[: self.size]

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where each word ends in `letters`."""
        return self._ends[: self.count]

    @property
    def counts(self) -> NDArray[np.int64]:
        return self._counts[: self.count]

    def _make_room(self, more: int) -> None:
        self._letters = _enlarged(self._letters, self.size + more)
        for name in ("_ends", "_counts", "_hashes"):
            setattr(self, name, _enlarged(getattr(self, name), self.count + more))
        if len(self._slots) < 2 * (self.count + more):
            self._slots = np.full(1 << (2 * (self.count + more)).bit_length(), -1, np.int32)
            _fill_slots(self._hashes, self.count, self._slots)


def _enlarged(array: NDArray[Any], size: int) -> NDArray[Any]:
    if len(array) >= size:
        return array
    larger = np.empty(max(size, 3 * len(array) // 2), array.dtype)  # pages never written to take no memory
    larger[: len(array)] = array
    return larger


@kernel
def _fill_slots(hashes, count, slots):  # type: ignore[no-untyped-def]
    mask = np.uint64(len(slots) - 1)
    for word in range(count):
        slot = hashes[word] & mask
        while slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = word


@kernel
def _count_words(data, stops, kinds, letters, ends, counts, hashes, slots, count):  # type: ignore[no-untyped-def]
    """Add the words of the texts ending at `stops`; returns the number of different words."""
    mask = np.uint64(len(slots) - 1)
    at = 0
    for stop in stops:
        while at < stop:
            end = word_end(data, at, stop, kinds)
            code = np.uint64(end - at)
            for i in range(at, end):
                code = (code ^ np.uint64(data[i])) * _PRIME
            code ^= code >> np.uint64(29)
            slot = code & mask
            while slots[slot] >= 0 and not _is_word(data, at, end, letters, ends, hashes, slots[slot], code):
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] < 0:
                slots[slot] = count
                begin = ends[count - 1] if count else 0
                letters[begin : begin + end - at] = data[at:end]
                ends[count], hashes[count], counts[count] = begin + end - at, code, 0
                count += 1
            counts[slots[slot]] += 1
            at = end
    return count


@kernel
def _is_word(data, at, end, letters, ends, hashes, word, code):  # type: ignore[no-untyped-def]
    if hashes[word] != code:
        return False
    begin = ends[word - 1] if word else 0
    if ends[word] - begin != end - at:
        return False
    for i in range(end - at):  # noqa: SIM110
        if letters[begin + i] != data[at + i]:
            return False
    return True


@kernel
def _decode_char(data, at, stop, kinds):  # type: ignore[no-untyped-def]
    """(code point, kind, where the next begins); kind -1 at the end."""
    if at >= stop:
        return 0, -1, at
    first = np.int64(data[at])
    if first < 0x80:
        return first, np.int64(kinds[first]), at + 1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    point = first & (0x7F >> size)
    for i in range(1, size):
        point = point << 6 | np.int64(data[at + i]) & 0x3F
    return point, np.int64(kinds[point]), at + size


@kernel
def word_end(data, at, stop, kinds):  # type: ignore[no-untyped-def]
    """Where the word that begins at `at` ends: the first alternative of PATTERN that matches, and all it takes."""
    point, kind, after = _decode_char(data, at, stop, kinds)
    next_point, next_kind, next_after = _decode_char(data, after, stop, kinds)
    if point == 0x27:
        end = _contraction_end(next_point, next_after, data, stop, kinds)
        if end:
            return end
    if kind == LETTER or (next_kind == LETTER and (kind in (OTHER, SPACE))):
        return _run_end(data, after, stop, kinds, LETTER)
    if kind == NUMBER:
        return after
    if kind == OTHER or (point == 0x20 and next_kind == OTHER):
        return _run_end(data, _run_end(data, after, stop, kinds, OTHER), stop, kinds, NEWLINE)
    return _white_space_end(data, at, stop, kinds)


@kernel
def _contraction_end(point, after, data, stop, kinds):  # type: ignore[no-untyped-def]
    """Where 's, 't, 're, 've, 'm, 'll or 'd ends, in any case; 0 where it is none. `point` follows the apostrophe."""
    one = point | 0x20 if point < 0x80 else point
    if one == 0x73 or one == 0x74 or one == 0x6D or one == 0x64 or one == _LONG_S:
        return after
    point, _, end = _decode_char(data, after, stop, kinds)
    two = point | 0x20 if point < 0x80 else 0
    if ((one == 0x72 or one == 0x76) and two == 0x65) or (one == 0x6C and two == 0x6C):
        return end
    return 0


@kernel
def _run_end(data, at, stop, kinds, wanted):  # type: ignore[no-untyped-def]
    """Where the characters of a kind end."""
    _, kind, after = _decode_char(data, at, stop, kinds)
    while kind == wanted:
        at = after
        _, kind, after = _decode_char(data, at, stop, kinds)
    return at


@kernel
def _white_space_end(data, at, stop, kinds):  # type: ignore[no-untyped-def]
    """To the last newline of white space; without one to the text's end, or all but the last character, if any."""
    begin, last, newline = at, at, 0
    _, kind, after = _decode_char(data, at, stop, kinds)
    while kind in (SPACE, NEWLINE):
        last, at = at, after
        newline = at if kind == NEWLINE else newline
        _, kind, after = _decode_char(data, at, stop, kinds)
    if newline:
        return newline
    return at if at == stop or last == begin else last

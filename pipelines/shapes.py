"""Words of plain chunks without asking anyone: letters, hyphenated letters or a number, with punctuation at the ends.

A chunk is what lies between whitespace. Of those of English text 97% have this shape and never need spaCy:

    [one affix] core [one or two affixes]      core: letters, letters(hyphens letters)*, letters's, digits([.,]digits)*

spaCy peels affixes one by one, so each is a word; but not every combination: "J." is one word, "tea." is two, ":)" is
one. Which combinations hold is asked of spaCy itself, once per process, for each kind of core (`learn_affixes`). What
has one of spaCy's special cases in it ("cannot", "Mr.") is for the table (chunks.py), as is all else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

AFFIXES = ("", "(", "[", '"', "'", "“", "‘", "”", "’", ",", ";", ":", "!", "?", ")", "]", ".", "…", "—")
N_AFFIXES = len(AFFIXES)
N_BEFORE = 9  # of them, brackets and quotes, may stand before a core
CORES = ("ox", "oX", "OX", "X", "ox's", "47", "4")
"""One for each kind of core: what an affix's rule may look at is the end, and whether it is more than one character."""
LOWER, MIXED, UPPER, ALONE, GENITIVE, NUMBER, DIGIT = range(len(CORES))
MAX_WORDS = 16  # of a chunk of this shape; longer ones are for the table

_A, _Z, _CASE = np.uint8(ord("a")), np.uint8(ord("z")), np.uint8(0x20)
_HYPHEN, _APOSTROPHE, _S = ord("-"), ord("'"), ord("s")


def learn_affixes(words: Callable[[Sequence[str]], list[list[str]]]) -> NDArray[np.bool_]:
    """Which affixes go with which kind of core: bool, shape (cores, affixes before, affixes behind, second behind).

    `words` splits chunks, each by itself.
    """
    allowed = np.zeros((len(CORES), N_BEFORE, N_AFFIXES, N_AFFIXES), dtype=np.bool_)
    cases = [index for index in np.ndindex(*allowed.shape) if index[2] or not index[3]]
    chunks = ["".join((AFFIXES[p], CORES[core], AFFIXES[s], AFFIXES[t])) for core, p, s, t in cases]
    for (core, p, s, t), found in zip(cases, words(chunks), strict=True):
        kernel = ["ox", "'s"] if core == GENITIVE else [CORES[core]]
        expected = [AFFIXES[p], *kernel, AFFIXES[s], AFFIXES[t]]
        allowed[core, p, s, t] = found == [word for word in expected if word]
    return allowed


def _places(lead: bytes) -> NDArray[np.uint8]:
    """By the byte behind `lead`: the affix that is written so, as its place in AFFIXES; 0 is none."""
    places = np.zeros(256, dtype=np.uint8)
    for place, affix in enumerate(AFFIXES):
        data = affix.encode()
        if data[:-1] == lead and len(data) == len(lead) + 1:
            places[data[-1]] = place
    return places


BYTE_AFFIXES, _BEHIND_E280 = _places(b""), _places(b"\xe2\x80")


@numba.njit(cache=True, nogil=True)
def _affix(data, i, stop):  # type: ignore[no-untyped-def]
    """The affix at `i` by its place in AFFIXES, 0 for none, and its bytes."""
    if data[i] != 0xE2:
        return np.int64(BYTE_AFFIXES[data[i]]), 1
    if i + 2 >= stop or data[i + 1] != 0x80:
        return 0, 0
    return np.int64(_BEHIND_E280[data[i + 2]]), 3


@numba.njit(cache=True, nogil=True)
def _letter(byte):  # type: ignore[no-untyped-def]
    return _A <= (byte | _CASE) <= _Z


@numba.njit(cache=True, nogil=True)
def _digit(byte):  # type: ignore[no-untyped-def]
    return 0x30 <= byte <= 0x39


@numba.njit(cache=True, nogil=True)
def _hyphen(data, i, stop):  # type: ignore[no-untyped-def]
    """Bytes of the hyphen at `i` between two letters, 0 if there is none: one to three "-", or one dash."""
    width = 0
    if data[i] == _HYPHEN:
        while i + width < stop and width < 3 and data[i + width] == _HYPHEN:
            width += 1
    elif data[i] == 0xE2 and i + 2 < stop and data[i + 1] == 0x80 and (data[i + 2] == 0x93 or data[i + 2] == 0x94):
        width = 3
    return width if width and i + width < stop and _letter(data[i + width]) else 0


@numba.njit(cache=True, nogil=True)
def _genitive(data, i, stop):  # type: ignore[no-untyped-def]
    """Bytes of the "'s" at `i`, with either apostrophe and no letter behind; 0 if there is none."""
    width = 0
    if i + 1 < stop and data[i] == _APOSTROPHE:
        width = 2
    elif i + 3 < stop and data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0x99:
        width = 4
    if width == 0 or data[i + width - 1] != _S or (i + width < stop and _letter(data[i + width])):
        return 0
    return width


@numba.njit(cache=True, nogil=True)
def _letters(data, i, stop, cuts, n):  # type: ignore[no-untyped-def]
    """Letters and hyphens between them from `i` on: the kind of the core, its end, the number of words so far."""
    while True:
        cuts[n] = i
        n += 1
        while i < stop and _letter(data[i]):
            i += 1
        width = _hyphen(data, i, stop) if i < stop else 0
        if width == 0 or n + 4 > MAX_WORDS:
            break
        cuts[n] = i
        n += 1
        i += width
    width = _genitive(data, i, stop)
    if width:
        cuts[n] = i
        return GENITIVE, i + width, n + 1
    return core_kind(data, cuts[n - 1], i), i, n


@numba.njit(cache=True, nogil=True)
def core_kind(data, start, stop):  # type: ignore[no-untyped-def]
    """The kind of a core that ends in the letters data[start:stop]."""
    if data[stop - 1] & _CASE:
        return LOWER
    if stop - 1 == start:
        return ALONE
    return MIXED if data[stop - 2] & _CASE else UPPER


@numba.njit(cache=True, nogil=True)
def _number(data, i, stop, cuts, n):  # type: ignore[no-untyped-def]
    """Digits with single points or commas between them from `i` on."""
    cuts[n] = i
    start = i
    while i < stop:
        if not _digit(data[i]):
            separator = data[i] == 0x2E or data[i] == 0x2C
            if not separator or i + 1 >= stop or not _digit(data[i + 1]):
                break
        i += 1
    return DIGIT if i - start == 1 else NUMBER, i, n + 1


@numba.njit(cache=True, nogil=True)
def plain_words(data, i, stop, allowed, cuts):  # type: ignore[no-untyped-def]
    """Where the words of a plain chunk begin at `i` into `cuts`; their number, and where the chunk may end.

    0 words if there is no plain chunk. That the chunk really ends there (at whitespace) is for the caller to see.
    """
    n = 0
    before, width = _affix(data, i, stop)
    if before >= N_BEFORE:
        return 0, i
    if before:
        cuts[0] = i
        n = 1
        i += width
    if i >= stop:
        return 0, i
    if _letter(data[i]):
        kind, i, n = _letters(data, i, stop, cuts, n)
    elif _digit(data[i]):
        kind, i, n = _number(data, i, stop, cuts, n)
    else:
        return 0, i
    first = second = 0
    if i < stop:
        first, width = _affix(data, i, stop)
        if first:
            cuts[n] = i
            n += 1
            i += width
            if i < stop:
                second, width = _affix(data, i, stop)
                if second:
                    cuts[n] = i
                    n += 1
                    i += width
    cuts[n] = i
    return n if allowed[kind, before, first, second] else 0, i

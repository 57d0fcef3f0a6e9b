"""Words of plain chunks without asking anyone: a core of letters or digits with punctuation at its ends.

A chunk is what lies between whitespace. Of those of English text 98% have this shape and never need spaCy:

    [up to two affixes] core [up to three affixes]
    core: letters, letters(hyphens letters)*, letters's, digits([.,]digits)*(-digits)*, letters and digits

spaCy peels affixes one by one, so each is a word; but not every one comes off: "J." is one word, "tea." is two. Which
do is asked of spaCy itself, once per process: each affix at each kind of core, and each pair of affixes
(`learn_affixes`). What has one of spaCy's special cases in it (":)", "cannot", "Mr.") is for the table (chunks.py), as
is all else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numba
import numpy as np
from numpy.typing import NDArray

AFFIXES = (
    "", "(", "[", "{", '"', "'", "“", "‘", "”", "’", "*", "_", "#", "$", "<", "&",
    ",", ";", ":", "!", "?", ")", "]", "}", ".", "…", "—", "–", "%", ">", "=",
)  # fmt: skip
CORES = ("ox", "oX", "OX", "X", "ox's", "47", "o4")
"""One for each kind of core; the rule of an affix may look at the character or two beside it."""
LOWER, MIXED, UPPER, ALONE, GENITIVE, NUMBER, CODE = range(len(CORES))
MAX_WORDS = 16  # of a chunk of this shape; longer ones are for the table
UNIT_LETTERS = (
    4  # letters behind a digit at the end, "5km", may be a unit and a word of their own: "mbar" is the longest
)


BEFORE, BEHIND = range(2)
AT_CORE, AT_AFFIX = range(2)


def learn_affixes(words: Callable[[Sequence[str]], list[list[str]]]) -> NDArray[np.bool_]:
    """Which affixes spaCy takes off: bool, shape (BEFORE and BEHIND, AT_CORE and AT_AFFIX, affixes, affixes).

    [BEFORE, AT_CORE, p, core] and [BEHIND, AT_CORE, s, core]: at each kind of core. [BEFORE, AT_AFFIX, p, q]: p in
    front of q; [BEHIND, AT_AFFIX, s, t]: t behind s. `words` splits chunks, each by itself.
    """
    n, cores = len(AFFIXES), [["ox", "'s"] if core == "ox's" else [core] for core in CORES]
    cases = [[affix, *core] for affix in AFFIXES for core in cores]
    cases += [[*core, affix] for affix in AFFIXES for core in cores]
    pairs = [[one, other] for one in AFFIXES for other in AFFIXES]
    cases += [[*pair, core] for pair in pairs for core in ("ox", "47")]
    cases += [[core, *pair] for pair in pairs for core in ("ox", "47")]
    found = words(["".join(case) for case in cases])
    right = np.array([f == [w for w in case if w] for f, case in zip(found, cases, strict=True)])
    off = np.zeros((2, 2, n, n), dtype=np.bool_)
    off[:, AT_CORE, :, : len(cores)] = right[: 2 * n * len(cores)].reshape(2, n, len(cores))
    off[:, AT_AFFIX] = right[2 * n * len(cores) :].reshape(2, n, n, 2).all(axis=3)
    # The outer one must come off as such: "ox…$" is three words because "…" splits inside a word.
    outer = off[:, AT_CORE, :, LOWER] & off[:, AT_CORE, :, NUMBER]
    off[BEFORE, AT_AFFIX] &= outer[BEFORE][:, None]
    off[BEHIND, AT_AFFIX] &= outer[BEHIND]
    return off


_A, _Z, _CASE = np.uint8(ord("a")), np.uint8(ord("z")), np.uint8(0x20)
_HYPHEN, _APOSTROPHE, _S = ord("-"), ord("'"), ord("s")


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
        if width == 0 or n + 8 > MAX_WORDS:
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
def _numbers(data, i, stop, cuts, n):  # type: ignore[no-untyped-def]
    """Digits with single points or commas between them, and hyphens between those, from `i` on."""
    cuts[n] = i
    n += 1
    while i < stop:
        if not _digit(data[i]):
            if i + 1 >= stop or not _digit(data[i + 1]):
                break
            if data[i] == _HYPHEN and n + 8 <= MAX_WORDS:
                cuts[n], cuts[n + 1] = i, i + 1
                n += 2
            elif data[i] != 0x2E and data[i] != 0x2C:
                break
        i += 1
    return NUMBER, i, n


@numba.njit(cache=True, nogil=True)
def _code(data, i, stop, cuts, n):  # type: ignore[no-untyped-def]
    """Letters and digits from `i` on, as one word. `n` is 0 if the letters at its end may be a unit."""
    cuts[n] = i
    letters = 0
    while i < stop and (_letter(data[i]) or _digit(data[i])):
        letters = letters + 1 if _letter(data[i]) else 0
        i += 1
    if letters == 0:
        return CODE, i, n + 1
    return core_kind(data, i - letters, i), i, n + 1 if letters > UNIT_LETTERS else 0


@numba.njit(cache=True, nogil=True)
def _core(data, i, stop, cuts, n):  # type: ignore[no-untyped-def]
    """The core at `i`: its kind, its end, the number of words so far, 0 for no core."""
    end = i
    while end < stop and _letter(data[end]):
        end += 1
    if end < stop and _digit(data[end]):
        if end > i:
            return _code(data, i, stop, cuts, n)
        while end < stop and _digit(data[end]):
            end += 1
        if end < stop and _letter(data[end]):
            return _code(data, i, stop, cuts, n)
        return _numbers(data, i, stop, cuts, n)
    if end > i:
        return _letters(data, i, stop, cuts, n)
    return 0, i, 0


@numba.njit(cache=True, nogil=True)
def plain_words(data, i, stop, affixes, cuts):  # type: ignore[no-untyped-def]
    """Where the words of a plain chunk begin at `i` into `cuts`; their number, and where the chunk may end.

    0 words if there is no plain chunk. That the chunk really ends there (at whitespace) is for the caller to see.
    """
    n = last = 0
    while n < 2 and i < stop:
        affix, width = _affix(data, i, stop)
        if affix == 0 or (last and not affixes[BEFORE, AT_AFFIX, last, affix]):
            break
        cuts[n] = i
        n += 1
        i += width
        last = affix
    if i >= stop:
        return 0, i
    kind, i, n = _core(data, i, stop, cuts, n)
    if n == 0 or not affixes[BEFORE, AT_CORE, last, kind]:
        return 0, i
    last = 0
    for _ in range(3):
        if i >= stop:
            break
        affix, width = _affix(data, i, stop)
        if affix == 0:
            break
        off = affixes[BEHIND, AT_AFFIX, last, affix] if last else affixes[BEHIND, AT_CORE, affix, kind]
        if not off:
            return 0, i
        cuts[n] = i
        n += 1
        i += width
        last = affix
    cuts[n] = i
    return n, i

"""Normalization of characters for near-duplicate detection: a separator, ignored, or a letter without case and accents.

The table does what datatrove's `simplify_text` does: lower-case, no diacritics, every decimal digit a 0 (unless kept
apart), punctuation a separator. Unlike there, all punctuation and symbols of Unicode are separators, and invisible
characters (soft hyphens, joiners, combining marks) are ignored.

The table is made from Unicode 3.2, which every version of Python carries unchanged, and from case pairs, which are
stable: hashes do not depend on the version of Python. Characters of later versions of Unicode, and those outside the
scripts below, are letters as they are.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SEPARATOR, NOTHING = 0, 1
ZERO = ord("0")

_FROZEN = unicodedata.ucd_3_2_0
_TABLE_END = 0x10000
# Alphabets, general punctuation and symbols; fullwidth forms. The Chinese and Korean characters between them have
# neither case nor marks.
_RANGES = (range(0x3100), range(0xF900, _TABLE_END))
_DIGITS = (
    0xE000  # in the private use area, so no character of a text; the digit itself would be taken as part of a number
)
# The soft hyphen was a dash in Unicode 3.2; `str.lower` gives a final sigma only where it sees the whole word.
_EXCEPTIONS = {"\xad": NOTHING, "\u03c2": ord("\u03c3")}


@lru_cache(maxsize=2)
def normalization_table(digits_apart: bool = False) -> NDArray[np.uint32]:
    """Return for every code point below 0x10000: SEPARATOR, NOTHING (ignored), or the normalized letter's code point.

    With `digits_apart` every digit is a letter of its own, so 12 differs from 34, and periods and commas always
    separate. uint32, shape (65536,).
    """
    table = np.arange(_TABLE_END, dtype=np.uint32)
    for code_points in _RANGES:
        for code_point in code_points:
            letter = _letter(chr(code_point))
            apart = digits_apart and letter == ZERO
            table[code_point] = _DIGITS + _FROZEN.decimal(chr(code_point)) if apart else letter
    return table


def _letter(character: str) -> int:
    if character in _EXCEPTIONS:
        return _EXCEPTIONS[character]
    kind = _FROZEN.category(character)
    if kind == "Cn":  # not in Unicode 3.2
        return ord(character)
    if kind in ("Mn", "Me", "Cf"):
        return NOTHING
    if kind == "Nd":
        return ZERO
    if kind[0] in "PSZ" or kind == "Cc":
        return SEPARATOR
    base_letters = [c for c in _FROZEN.normalize("NFD", character.lower()) if _FROZEN.category(c) != "Mn"]
    return ord(base_letters[0]) if len(base_letters) == 1 else ord(character)

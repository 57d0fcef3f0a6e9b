"""What each character is to the words of near-duplicates: a separator, nothing, or a letter without case and accents.

datatrove's `simplify_text` in one table: lower-case, no diacritics, every decimal digit a 0 (unless kept apart),
punctuation a separator. Other than there, all of Unicode's punctuation and symbols separate, and characters that show
nothing (soft hyphens, joiners, marks) are left out of the word.

The table is made from Unicode 3.2, which every Python carries and none changes, and the stable case pairs: keys do not
depend on the Python that made them. Characters of later versions, and those beyond the scripts below, are letters as
they are.
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
# Alphabets, general punctuation and symbols; fullwidth forms. Between them: Chinese and Korean, no case, no marks.
_RANGES = (range(0x3100), range(0xF900, _TABLE_END))
_DIGITS = 0xE000  # for private use: no character of a text; a digit as itself would be hashed as part of a number
# The soft hyphen was a dash in Unicode 3.2; `lower` makes the final sigma only where it sees the word.
_LATER = {"\xad": NOTHING, "\u03c2": ord("\u03c3")}


@lru_cache(maxsize=2)
def normalization_table(digits_apart: bool = False) -> NDArray[np.uint32]:
    """By code point below 0x10000: SEPARATOR, NOTHING, or the letter's code point. uint32, shape (65536,).

    With `digits_apart` every digit is a letter of its own, so 12 is not 34, and points and commas always separate.
    """
    table = np.arange(_TABLE_END, dtype=np.uint32)
    for code_points in _RANGES:
        for code_point in code_points:
            letter = _letter(chr(code_point))
            apart = digits_apart and letter == ZERO
            table[code_point] = _DIGITS + _FROZEN.decimal(chr(code_point)) if apart else letter
    return table


def _letter(character: str) -> int:
    if character in _LATER:
        return _LATER[character]
    kind = _FROZEN.category(character)
    if kind == "Cn":  # not in Unicode 3.2
        return ord(character)
    if kind in ("Mn", "Me", "Cf"):
        return NOTHING
    if kind == "Nd":
        return ZERO
    if kind[0] in "PSZ" or kind == "Cc":
        return SEPARATOR
    bare = [c for c in _FROZEN.normalize("NFD", character.lower()) if _FROZEN.category(c) != "Mn"]
    return ord(bare[0]) if len(bare) == 1 else ord(character)

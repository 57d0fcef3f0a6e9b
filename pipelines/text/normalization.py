"""Normalization of characters for near-duplicate detection: a separator, ignored, or a letter without case and accents.

The table does what datatrove's `simplify_text` does: lower-case, no diacritics, punctuation a separator. Unlike there,
digits count (two tables that differ in their numbers are different texts), all punctuation and symbols of Unicode are
separators, and invisible characters (soft hyphens, joiners, combining marks) are ignored.

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
ALONE = np.uint32(1 << 31)
"""Bit of a letter that is a word by itself: a character of a script without spaces between words."""

_FROZEN = unicodedata.ucd_3_2_0
_TABLE_END = 0x10000
# Alphabets, general punctuation and symbols; fullwidth forms. The Chinese and Korean characters between them have
# neither case nor marks.
_RANGES = (range(0x3100), range(0xF900, _TABLE_END))
_UNSPACED = (
    range(0x0E00, 0x0F00),  # Thai, Lao
    range(0x1000, 0x10A0),  # Burmese
    range(0x1780, 0x1800),  # Khmer
    range(0x2E80, 0x2FE0),  # radicals of Chinese characters
    range(0x3005, 0x3008),  # iteration mark, closing mark, zero
    range(0x3040, 0x3130),  # Japanese kana, Bopomofo
    range(0x31A0, 0x3200),  # their extensions
    range(0x3400, 0x4DC0),  # Chinese characters
    range(0x4E00, 0xA000),
    range(0xF900, 0xFB00),
    range(0xFF66, 0xFFA0),  # halfwidth kana
)
UNSPACED_PLANES = range(0x20000, 0x40000)
"""Code points beyond the table whose letters are ALONE: rare Chinese characters."""
# The soft hyphen was a dash in Unicode 3.2; `str.lower` gives a final sigma only where it sees the whole word.
_EXCEPTIONS = {"\xad": NOTHING, "\u03c2": ord("\u03c3")}


@lru_cache(maxsize=2)
def normalization_table(split_unspaced: bool = False) -> NDArray[np.uint32]:
    """Return for every code point below 0x10000: SEPARATOR, NOTHING (ignored), or the normalized letter's code point.

    With `split_unspaced` the letters of scripts without spaces between words (Chinese, Japanese, Thai, ...) have the
    bit ALONE. uint32, shape (65536,).
    """
    table = np.arange(_TABLE_END, dtype=np.uint32)
    for code_points in _RANGES:
        for code_point in code_points:
            table[code_point] = _letter(chr(code_point))
    for code_points in _UNSPACED if split_unspaced else ():
        letters = table[code_points.start : code_points.stop]
        letters[letters > ord("9")] |= ALONE  # neither SEPARATOR nor NOTHING, nor a digit
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
        return ord("0") + _FROZEN.decimal(character)
    if kind[0] in "PSZ" or kind == "Cc":
        return SEPARATOR
    base_letters = [c for c in _FROZEN.normalize("NFD", character.lower()) if _FROZEN.category(c) != "Mn"]
    return ord(base_letters[0]) if len(base_letters) == 1 else ord(character)

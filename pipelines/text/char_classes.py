"""Character classes that datatrove's filters ask for, as a table by code point with the answers of Python's `str`."""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import UInt8Array, inner_kernel

ALPHA, NOT_PUNCTUATION, LINE_END = 1, 2, 4
"""Bits of a class byte: `str.isalpha`; not in datatrove's PUNCTUATION_SET; `str.splitlines` splits there."""

LAST_LETTER = 0x40000  # planes 4 to 16 hold no letter, and asking about their million characters takes 0.3 s a process
ASCII_SPACES = np.array([chr(byte).isspace() and byte < 0x80 for byte in range(256)])
_LINE_ENDS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@lru_cache(maxsize=1)
def char_classes() -> NDArray[np.uint8]:
    """Return the class bits of every code point: uint8, shape (0x110000,)."""
    from datatrove.utils.text import PUNCTUATION_SET

    table = np.full(sys.maxunicode + 1, NOT_PUNCTUATION, dtype=np.uint8)
    table[[ord(c) for c in PUNCTUATION_SET]] = 0
    table[[code for code in range(LAST_LETTER) if chr(code).isalpha()]] |= ALPHA
    table[[ord(c) for c in _LINE_ENDS]] |= LINE_END
    return table


@inner_kernel
def decode(data: UInt8Array, i: int, stop: int) -> tuple[np.int64, int]:
    """Decode the UTF-8 character at `i`: its code point and its number of bytes.

    A character that `stop` cuts off, which valid UTF-8 rules out, is read as its first byte alone.
    """
    first = np.int64(data[i])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        if i + 1 < stop:
            return (first & 0x1F) << 6 | (data[i + 1] & 0x3F), 2
    elif first < 0xF0:
        if i + 2 < stop:
            return (first & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F), 3
    elif i + 3 < stop:
        high = (first & 0x07) << 18 | (data[i + 1] & 0x3F) << 12
        return high | (data[i + 2] & 0x3F) << 6 | (data[i + 3] & 0x3F), 4
    return first, 1


@inner_kernel
def last_character(data: UInt8Array, start: int, stop: int) -> int:
    """Return where the last character of data[start:stop] begins; `stop` if the range is empty."""
    i = stop
    while i > start:
        i -= 1
        if data[i] & 0xC0 != 0x80:
            break
    return i

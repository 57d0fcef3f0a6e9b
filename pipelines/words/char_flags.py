"""A chunk of text (a run between two whitespaces) as an array of its characters, with flags for spaCy's rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, inner_kernel
from gpts_data.pipelines.text.char_classes import decode

MAX_CHARACTERS = 128
PREFIX, SUFFIX, ALPHA, LOWER, UPPER, QUOTE, MAY_PRECEDE_PERIOD, SYMBOL, CURRENCY, HOST = (1 << k for k in range(10))
"""Flags, one bit each: PREFIX and SUFFIX, the character alone is one; ALPHA, LOWER, UPPER, spaCy's letters, of which
those without case are both LOWER and UPPER; QUOTE; MAY_PRECEDE_PERIOD, a period after it is a suffix; SYMBOL, an
infix; CURRENCY, a suffix after a digit; HOST, may stand in a host's name."""

END = 0x10000
"""Characters from here on have no flags; a chunk with one of them is left to spacy_rules.py."""

CODE, FLAGS, OFFSET, SUFFIX_OFFSET = range(4)
"""Columns of a character: its code point, its flags, the position of its first byte. In the first rows SUFFIX_OFFSET
is where affixes.py keeps the suffixes that it took off."""


def new_chunk_buffer() -> Int64Array:
    """Return an array for the characters of one chunk, for `rule_words`: int64, shape (MAX_CHARACTERS + 1, 4)."""
    return np.empty((MAX_CHARACTERS + 1, 4), dtype=np.int64)


@inner_kernel
def read_chunk(data: UInt8Array, i: int, stop: int, char_flags: NDArray[np.uint16], chars: Int64Array) -> int:
    """Write the characters of the chunk data[i:stop] to `chars`, and one row for its end.

    Returns the number of characters, 0 if there are more than MAX_CHARACTERS or one has no flags.
    """
    n = 0
    while i < stop:
        code, width = np.int64(data[i]), 1
        if code >= 0x80:
            code, width = decode(data, i, stop)
        if n == MAX_CHARACTERS or code >= len(char_flags):
            return 0
        chars[n, CODE], chars[n, FLAGS], chars[n, OFFSET] = code, char_flags[code], i
        n += 1
        i += width
    chars[n, CODE], chars[n, FLAGS], chars[n, OFFSET] = 0, 0, stop
    return n


@inner_kernel
def digit(code: int) -> bool:
    return 0x30 <= code <= 0x39


@inner_kernel
def has_flag(chars: Int64Array, k: int, flags: int) -> bool:
    """Return whether character `k` has any of these flags."""
    return bool(chars[k, FLAGS] & flags != 0)

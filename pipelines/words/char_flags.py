"""A chunk of text, what lies between two whitespaces, as an array of its characters and what spaCy sees in each."""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.char_classes import decode

MAX_CHARACTERS = 128
PREFIX, SUFFIX, ALPHA, LOWER, UPPER, QUOTE, MAY_PRECEDE_PERIOD, SYMBOL, CURRENCY, HOST = (1 << k for k in range(10))
"""Marks, the bits of a character: alone a prefix; alone a suffix; spaCy's letters, of which the uncased are LOWER and
UPPER; quotes; what lets a point behind it go; symbols; money, which goes behind a digit; a letter of a host's name."""

END = 0x10000
"""No character from here on has marks; chunks with one are left to spacy_rules.py."""

CODE, MARKS, AT, TAIL = range(4)
"""Of a character: its code point, its marks, its first byte. TAIL is room for affixes.py."""


@kernel
def new_chunk_buffer():  # type: ignore[no-untyped-def]
    """Room for the characters of one chunk, for `rule_words`."""
    return np.empty((MAX_CHARACTERS + 1, 4), dtype=np.int64)


@kernel
def read_chunk(data, i, stop, marks, chars):  # type: ignore[no-untyped-def]
    """The characters of the chunk into `chars`, one row more for its end; their number, 0 for too many or unknown."""
    n = 0
    while i < stop:
        code, width = np.int64(data[i]), 1
        if code >= 0x80:
            code, width = decode(data, i, stop)
        if n == MAX_CHARACTERS or code >= len(marks):
            return 0
        chars[n, CODE], chars[n, MARKS], chars[n, AT] = code, marks[code], i
        n += 1
        i += width
    chars[n, CODE], chars[n, MARKS], chars[n, AT] = 0, 0, stop
    return n


@kernel
def digit(code):  # type: ignore[no-untyped-def]
    return 0x30 <= code <= 0x39


@kernel
def marked(chars, k, bits):  # type: ignore[no-untyped-def]
    return chars[k, MARKS] & bits != 0

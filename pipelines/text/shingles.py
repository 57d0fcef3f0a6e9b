"""Words and their n-grams as 64-bit hashes, from UTF-8.

A word is what lies between separators (normalization.py). A run of digits counts as one 0, as with datatrove; a point
or comma between two digits belongs to the number, so 1,234,567.8 is one word.

An n-gram is a polynomial in its words' hashes, so their order counts, and rolls on with two multiplications whatever
n is.
"""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.char_classes import decode
from gpts_data.pipelines.text.hashing import U0, U1, mix64
from gpts_data.pipelines.text.normalization import NOTHING, SEPARATOR, ZERO

_NO_WORD = np.uint64(0xCBF29CE484222325)  # FNV-1a's start and prime; code points instead of bytes
_PRIME = np.uint64(0x100000001B3)
_A, _Z, _CASE, _END = np.uint8(ord("a")), np.uint8(ord("z")), np.uint8(0x20), np.uint8(0)
BASE = np.uint64(0x2D358DCCAA6C78A7)  # 3 modulo 4: words exchanged cancel only where they agree in 63 bits


@kernel
def hash_words(data, i, stop, letters, words):  # type: ignore[no-untyped-def]
    """Write the hashes of the words of data[i:stop] to `words`, of (stop - i + 1) // 2 at least. Returns how many."""
    n = 0
    word, number = _NO_WORD, False
    while i < stop:
        first = data[i]
        lower = first | _CASE
        if _A <= lower <= _Z:  # most of all text: no table, and one surprise a word for the processor
            while _A <= lower <= _Z:
                word = (word ^ np.uint64(lower)) * _PRIME
                i += 1
                lower = data[i] | _CASE if i < stop else _END
            number = False
            continue
        if first < 0x80:
            letter = letters[first]
            i += 1
        else:
            code_point, width = decode(data, i, stop)
            letter = letters[code_point] if code_point < len(letters) else np.uint32(code_point)
            i += width
        if letter == SEPARATOR:
            if number and (first == 0x2E or first == 0x2C) and i < stop and 0x30 <= data[i] <= 0x39:
                continue
            if word != _NO_WORD:
                words[n] = mix64(word)
                n += 1
            word, number = _NO_WORD, False
        elif letter != NOTHING and not (number and letter == ZERO):
            word = (word ^ np.uint64(letter)) * _PRIME
            number = letter == ZERO
    if word != _NO_WORD:
        words[n] = mix64(word)
        n += 1
    return n


@kernel
def hash_ngrams(words, n_words, ngrams):  # type: ignore[no-untyped-def]
    """Replace words[:n_words] by the hashes of their n-grams. Returns how many, 0 for fewer words than `ngrams`."""
    rolling, top = U0, U1
    for i in range(min(ngrams - 1, n_words)):
        rolling = rolling * BASE + words[i]
        top *= BASE
    n = max(n_words - ngrams + 1, 0)
    for i in range(n):
        rolling = rolling * BASE + words[i + ngrams - 1]
        ngram = mix64(rolling)
        rolling -= words[i] * top
        words[i] = ngram
    return n

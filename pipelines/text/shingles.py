"""64-bit hashes of words and of their n-grams (shingles), computed from UTF-8 bytes.

Words are separated by the separators of normalization.py. A run of digits counts as one 0, as in datatrove; a period or
comma between two digits belongs to the number, so 1,234,567.8 is one word.

The hash of an n-gram is a polynomial in its words' hashes, so it depends on their order, and moving on by one word
takes two multiplications for any n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import UInt8Array, UInt64Array, kernel
from gpts_data.pipelines.text.char_classes import decode
from gpts_data.pipelines.text.hashing import U0, U1, mix64
from gpts_data.pipelines.text.normalization import NOTHING, SEPARATOR, ZERO

_NO_WORD = np.uint64(0xCBF29CE484222325)  # FNV-1a's offset basis and prime, here over code points instead of bytes
_PRIME = np.uint64(0x100000001B3)
_A, _Z, _CASE, _END = np.uint8(ord("a")), np.uint8(ord("z")), np.uint8(0x20), np.uint8(0)
BASE = np.uint64(0x2D358DCCAA6C78A7)  # 3 modulo 4: exchanging two words changes the hash unless they agree in 63 bits


@kernel
def hash_words(data: UInt8Array, i: int, stop: int, letters: NDArray[np.uint32], words: UInt64Array) -> int:
    """Write the hashes of the words of data[i:stop] to `words` and return how many there are.

    `letters` is `normalization_table`; `words` needs (stop - i + 1) // 2 elements or more.
    """
    n = 0
    word, number = _NO_WORD, False
    while i < stop:
        first = data[i]
        lower = first | _CASE
        if _A <= lower <= _Z:  # most of all text: no table, one mispredicted branch a word
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
def hash_ngrams(words: UInt64Array, n_words: int, ngrams: int) -> int:
    """Replace words[:n_words] by the hashes of their n-grams and return how many there are.

    Fewer words than `ngrams` have none.
    """
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

"""64-bit hashes of words and of their n-grams (shingles), computed from UTF-8 bytes.

Words are separated by the separators of normalization.py. In scripts without spaces between words each character is a
word, if the table says so (ALONE).

The hash of an n-gram is a polynomial in its words' hashes, so it depends on their order, and moving on by one word
takes two multiplications for any n.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import UInt8Array, UInt64Array, kernel
from gpts_data.pipelines.text.char_classes import decode
from gpts_data.pipelines.text.hashing import U0, U1, mix64
from gpts_data.pipelines.text.normalization import ALONE, NOTHING, SEPARATOR, UNSPACED_PLANES

_NO_WORD = np.uint64(0xCBF29CE484222325)  # FNV-1a's offset basis and prime, here over code points instead of bytes
_PRIME = np.uint64(0x100000001B3)
_HAN = 0x4E00  # a Chinese character: a table in which it is ALONE splits those beyond the table, too
_FIRST_UNSPACED, _LAST_UNSPACED = UNSPACED_PLANES[0], UNSPACED_PLANES[-1]
_A, _Z, _CASE, _END = np.uint8(ord("a")), np.uint8(ord("z")), np.uint8(0x20), np.uint8(0)
BASE = np.uint64(0x2D358DCCAA6C78A7)  # 3 modulo 4: exchanging two words changes the hash unless they agree in 63 bits


@kernel
def hash_words(data: UInt8Array, i: int, stop: int, letters: NDArray[np.uint32], words: UInt64Array) -> int:
    """Write the hashes of the words of data[i:stop] to `words` and return how many there are.

    `letters` is `normalization_table`; `words` needs (stop - i + 1) // 2 elements or more.
    """
    n, word = 0, _NO_WORD
    while i < stop:
        first = data[i]
        lower = first | _CASE
        if _A <= lower <= _Z:  # most of all text: no table, one mispredicted branch a word
            while _A <= lower <= _Z:
                word = (word ^ np.uint64(lower)) * _PRIME
                i += 1
                lower = data[i] | _CASE if i < stop else _END
            continue
        if first < 0x80:
            letter = letters[first]
            i += 1
        else:
            code_point, width = decode(data, i, stop)
            letter = letters[code_point] if code_point < len(letters) else np.uint32(code_point)
            if _FIRST_UNSPACED <= code_point <= _LAST_UNSPACED:
                letter |= letters[_HAN] & ALONE
            i += width
        if letter == NOTHING:
            continue
        if word != _NO_WORD and (letter == SEPARATOR or letter >= ALONE):
            words[n] = mix64(word)
            n += 1
            word = _NO_WORD
        if letter >= ALONE:
            words[n] = mix64((_NO_WORD ^ np.uint64(letter ^ ALONE)) * _PRIME)
            n += 1
        elif letter != SEPARATOR:
            word = (word ^ np.uint64(letter)) * _PRIME
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

"""Hashes of words, and of runs of words as one string, from running sums.

The sum over all bytes so far of (byte + 1) * BASE^position, modulo 2^64, gives the hash of what lies between two places
by a subtraction and a multiplication with BASE^-position. Two of n unequal strings coincide with a chance of about
n^2 / 2^65; modulo 2^64 only texts made for it (Thue-Morse, from 1,024 bytes on) do better.
"""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hashing import U0, U1, mix64

BASE = np.uint64(0x9E3779B97F4A7C15)
POWERS = 64
_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))


def word_hash(word: str) -> int:
    """`hash_word` of a word."""
    data = word.encode()
    return int(hash_word(np.frombuffer(data, np.uint8), 0, len(data)))


@kernel
def hash_word(data, start, stop):  # type: ignore[no-untyped-def]
    """The hash of one word, equal to that of the same word in `Words`. Never 0."""
    total, power = U0, U1
    for i in range(start, stop):
        total += (np.uint64(data[i]) + U1) * power
        power *= BASE
    return max(mix64(total), U1)


@kernel
def inverse_powers():  # type: ignore[no-untyped-def]
    """BASE^-k for k below POWERS: uint64."""
    powers = np.ones(POWERS, dtype=np.uint64)
    for k in range(1, POWERS):
        powers[k] = powers[k - 1] * _INVERSE
    return powers

"""Hashes of words, and of runs of words as one string, from running sums.

The running sum over all bytes so far of (byte + 1) * BASE^position, modulo 2^64, gives the hash of the bytes between
two positions by one subtraction and one multiplication with BASE^-position. Two of n unequal strings collide with
probability about n^2 / 2^65; only strings constructed for it (Thue-Morse sequences of 1,024 bytes or more) collide
more often modulo 2^64.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gpts_data.pipelines.kernel import UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.hashing import U0, U1, mix64

BASE = np.uint64(0x9E3779B97F4A7C15)
POWERS = 64
_BYTE = np.uint64(0xFF)
BASE_POWERS = np.array([pow(0x9E3779B97F4A7C15, k, 1 << 64) for k in range(POWERS)], np.uint64)
BLOCK_SUMS = np.concatenate([np.zeros(1, np.uint64), np.cumsum(BASE_POWERS[:16])])
"""The sum of a string of zero bytes, by its length: `block_sum` leaves out the "+ 1" of each byte."""


def word_hash(word: str) -> int:
    """Return `hash_word` of a Python string."""
    data = word.encode()
    return int(hash_word(np.frombuffer(data, np.uint8), 0, len(data)))


@kernel
def hash_word(data: UInt8Array, start: int, stop: int) -> np.uint64:
    """Hash the word data[start:stop], as `hash_run` hashes the same word in `WordArrays`. Never 0."""
    total, power = U0, U1
    for i in range(start, stop):
        total += (np.uint64(data[i]) + U1) * power
        power *= BASE
    return max(mix64(total), U1)


@inner_kernel
def block_sum(block: np.uint64) -> np.uint64:
    """Return the sum of byte * BASE^position over eight bytes, of which the lowest is the first."""
    total = U0
    for k in range(8):
        total += ((block >> np.uint64(8 * k)) & _BYTE) * BASE_POWERS[k]
    return total


@lru_cache(maxsize=1)
def inverse_powers() -> UInt64Array:
    """Return BASE^-k for k = 0, ..., POWERS - 1: uint64, shape (POWERS,)."""
    return np.array([pow(int(BASE), -k, 1 << 64) for k in range(POWERS)], np.uint64)

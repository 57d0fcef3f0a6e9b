"""MinHash of word n-grams: a text's bands, equal for two texts with probability (Jaccard ** hashes) each.

Hash function k of an n-gram x, 64 bits of good hash, is `low(x) * a[k] + high(x)` in 32 bits. For each k alone that is
as random as x, so its minimum is a fair draw from the text's n-grams; any two k are independent but for the low bits
where a[k] and a[j] agree. The 32 bits lose nothing: among m n-grams the minimum has 32 - log2(m) random bits, so a band
of 8 has 96 even at a million words, more than the 64 it is hashed to; and two n-grams tie in one function, of 112,
with probability m^2 / 2^33: 1e-4 at a thousand words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hashing import U1, StringBuffers, init_state, mix64
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words

_COEFFICIENTS = 0xC0EF  # seed
_HIGH = np.uint64(32)
_UNROLL = 4  # n-grams a pass, so that a minimum is loaded and stored once for four


@kernel
def coefficients(n):  # type: ignore[no-untyped-def]
    """`n` fixed random numbers: uint32."""
    drawn = np.empty(n, dtype=np.uint32)
    for k in range(n):
        drawn[k] = mix64(init_state(np.uint64(_COEFFICIENTS + k))) >> _HIGH
    return drawn


@kernel
def sketch(hashes, n, functions, minima):  # type: ignore[no-untyped-def]
    """The minimum of every hash function over hashes[:n]. `hashes` needs room for 3 more, filled with repeats."""
    minima[:] = 0xFFFFFFFF
    hashes[n : n + _UNROLL - 1] = hashes[0]
    for i in range(0, n, _UNROLL):
        x0, x1, x2, x3 = hashes[i], hashes[i + 1], hashes[i + 2], hashes[i + 3]
        low0, low1, low2, low3 = np.uint32(x0), np.uint32(x1), np.uint32(x2), np.uint32(x3)
        high0, high1 = np.uint32(x0 >> _HIGH), np.uint32(x1 >> _HIGH)
        high2, high3 = np.uint32(x2 >> _HIGH), np.uint32(x3 >> _HIGH)
        for k in range(len(functions)):
            a = functions[k]
            one = min(np.uint32(low0 * a + high0), np.uint32(low1 * a + high1))
            other = min(np.uint32(low2 * a + high2), np.uint32(low3 * a + high3))
            minima[k] = min(minima[k], min(one, other))


@kernel
def _hash_bands(minima, hashes_per_bucket, seed, keys):  # type: ignore[no-untyped-def]
    for band in range(len(keys)):
        state = init_state(np.uint64(seed + band))
        for k in range(band * hashes_per_bucket, (band + 1) * hashes_per_bucket):
            state = mix64(state ^ np.uint64(minima[k]))
        keys[band] = max(state, U1)


@kernel
def _sign(data, offsets, letters, functions, ngrams, hashes_per_bucket, seed, keys):  # type: ignore[no-untyped-def]
    longest = 0
    for row in range(len(keys)):
        longest = max(longest, offsets[row + 1] - offsets[row])
    hashes = np.empty(longest // 2 + 1 + _UNROLL, dtype=np.uint64)
    minima = np.empty(len(functions), dtype=np.uint32)
    for row in range(len(keys)):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, hashes)
        n = hash_ngrams(hashes, n_words, ngrams)
        if n:
            sketch(hashes, n, functions, minima)
            _hash_bands(minima, hashes_per_bucket, seed, keys[row])


def hash_bands(
    texts: StringBuffers,
    letters: NDArray[np.uint32],
    functions: NDArray[np.uint32],
    ngrams: int,
    hashes_per_bucket: int,
    seed: int,
    keys: NDArray[np.uint64],
) -> None:
    """Fill `keys`, zeros of shape (texts, buckets), with one key per bucket; a text of fewer words keeps its zeros."""
    _sign(*texts, letters, functions, ngrams, hashes_per_bucket, seed, keys)

"""MinHash of word n-grams: band keys, each equal for two texts with probability (Jaccard ** hashes per band).

Hash function k of an n-gram x, a good 64-bit hash, is `low(x) * a[k] + high(x)` in 32 bits. For each k alone it is as
random as x, so its minimum is a fair draw from the text's n-grams; any two functions are independent except in the low
bits where a[k] and a[j] agree. 32 bits are enough: among m n-grams the minimum has 32 - log2(m) random bits, so a band
of 8 minima has 96 even at a million words, more than the 64 bits of its key; and two n-grams have equal hashes in one
of 112 functions with probability m^2 / 2^33: 1e-4 at a thousand words.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.hashing import U1, StringBuffers, init_state, mix64
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words

UInt32Array = NDArray[np.uint32]

_SEED = 0xC0EF  # of the coefficients
_HIGH = np.uint64(32)
_UNROLL = 4  # n-grams per iteration, so that a minimum is loaded and stored once for four of them


def coefficients(n: int) -> UInt32Array:
    """The coefficients a[k] of `n` hash functions: uint32, random but fixed."""
    a = np.empty(n, np.uint32)
    _fill_coefficients(a)
    return a


@kernel
def _fill_coefficients(a: UInt32Array) -> None:
    for k in range(len(a)):
        a[k] = mix64(init_state(np.uint64(_SEED + k))) >> _HIGH


@kernel
def sketch(
    hashes: UInt64Array, n: int, functions: UInt32Array, low: UInt32Array, high: UInt32Array, minima: UInt32Array
) -> None:
    """Write the minimum of every hash function over hashes[:n] into `minima`.

    `low` and `high` are scratch space for the halves of the hashes and need 3 elements more than those. In arrays of
    their own LLVM knows that they have 32 bits, and multiplies 16 of them at once instead of 8.
    """
    minima[:] = 0xFFFFFFFF
    for i in range(n + _UNROLL - 1):
        x = hashes[i if i < n else 0]
        low[i], high[i] = np.uint32(x), np.uint32(x >> _HIGH)
    for i in range(0, n, _UNROLL):
        low0, low1, low2, low3 = low[i], low[i + 1], low[i + 2], low[i + 3]
        high0, high1, high2, high3 = high[i], high[i + 1], high[i + 2], high[i + 3]
        for k in range(len(functions)):
            a = functions[k]
            first_pair = min(np.uint32(low0 * a + high0), np.uint32(low1 * a + high1))
            second_pair = min(np.uint32(low2 * a + high2), np.uint32(low3 * a + high3))
            minima[k] = min(minima[k], min(first_pair, second_pair))


@inner_kernel
def _hash_minima(minima: UInt32Array, hashes_per_bucket: int, seed: int, keys: UInt64Array) -> None:
    """Hash each band of `minima` into one key, which is never 0."""
    for band in range(len(keys)):
        state = init_state(np.uint64(seed + band))
        for k in range(band * hashes_per_bucket, (band + 1) * hashes_per_bucket):
            state = mix64(state ^ np.uint64(minima[k]))
        keys[band] = max(state, U1)


@kernel
def _hash_bands(
    data: UInt8Array,
    offsets: Int64Array,
    letters: UInt32Array,
    functions: UInt32Array,
    ngrams: int,
    hashes_per_bucket: int,
    seed: int,
    hashes: UInt64Array,
    low: UInt32Array,
    high: UInt32Array,
    minima: UInt32Array,
    keys: UInt64Array,
) -> None:
    for row in range(len(keys)):
        n_words = hash_words(data, offsets[row], offsets[row + 1], letters, hashes)
        n = hash_ngrams(hashes, n_words, ngrams)
        if n:
            sketch(hashes, n, functions, low, high, minima)
            _hash_minima(minima, hashes_per_bucket, seed, keys[row])


def hash_bands(
    texts: StringBuffers,
    letters: UInt32Array,
    functions: UInt32Array,
    ngrams: int,
    hashes_per_bucket: int,
    seed: int,
    keys: UInt64Array,
) -> None:
    """Write one key per bucket into `keys`: uint64, shape (texts, buckets), zeros.

    texts: see `string_buffers`. letters: a `normalization_table`. functions: `coefficients(buckets *
    hashes_per_bucket)`. ngrams: words per n-gram; a text of fewer words keeps its zeros. seed: of the first bucket.
    """
    longest = int(np.diff(texts[1]).max(initial=0))
    n = longest // 2 + 1
    hashes, minima = np.empty(n, np.uint64), np.empty(len(functions), np.uint32)
    low, high = np.empty(n + _UNROLL, np.uint32), np.empty(n + _UNROLL, np.uint32)
    _hash_bands(*texts, letters, functions, ngrams, hashes_per_bucket, seed, hashes, low, high, minima, keys)

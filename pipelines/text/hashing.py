"""64-bit hashes of strings, straight from Arrow's buffers: no Python object for a document or a word.

One string: its bytes in blocks of eight, each block xored into the state and the state mixed, so the order counts.
Blocks are put together byte by byte (one load after LLVM), so the machine's byte order does not.

Two of n unequal strings coincide with probability n^2 / 2^65: 2.4e-3 among 3e8 keys.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel

# Numba takes a uint64 with a signed number for a float, so every constant has its type.
U0, U1, U3, U7, U8 = (np.uint64(n) for n in (0, 1, 3, 7, 8))
_U56 = np.uint64(56)
_SHIFT = np.uint64(32)
_MIX = np.uint64(0xD6E8FEB86659FD93)  # https://nullprogram.com/blog/2018/07/31/
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: splitmix64's step
_TAIL = np.uint64(0xA0761D6478BD642F)  # sets the last, partial block apart from a full one

StringBuffers = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""The UTF-8 bytes of a column, and where each row begins; row i is data[offsets[i] : offsets[i + 1]]."""


def string_buffers(column: pa.Array) -> StringBuffers:
    """The buffers of a column of strings; null is empty. Copies no text unless there are nulls."""
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        column = column.cast(pa.large_string())
    if column.null_count:
        column = pc.fill_null(column, "")
    if len(column) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offsets, data = column.buffers()
    width = np.int32 if pa.types.is_string(column.type) else np.int64
    starts = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8), starts.astype(np.int64, copy=False)


def hash_strings(column: pa.Array, seed: int) -> NDArray[np.uint64]:
    """64-bit keys of strings, never 0; null and the empty string have none (0). uint64, shape (len(column),)."""
    return _hash_strings(*string_buffers(column), np.uint64(seed))  # type: ignore[no-any-return]


def hash_texts(column: pa.Array, seed: int) -> NDArray[np.uint64]:
    """The same of texts whose runs of whitespace count as one space, and none at the ends: `" ".join(text.split())`."""
    return _hash_texts(*string_buffers(column), np.uint64(seed))  # type: ignore[no-any-return]


@kernel
def mix64(x):  # type: ignore[no-untyped-def]
    """A bijection of 64 bits in which every bit of `x` reaches every bit."""
    x = (x ^ (x >> _SHIFT)) * _MIX
    x = (x ^ (x >> _SHIFT)) * _MIX
    return x ^ (x >> _SHIFT)


@kernel
def init_state(seed):  # type: ignore[no-untyped-def]
    """The state before the first block. Every seed has hashes of its own."""
    return mix64((seed + U1) * _GOLDEN)


@kernel
def _finish(state, block, length):  # type: ignore[no-untyped-def]
    """The state after the last 0 to 7 bytes: their number is in the top byte, which they leave free."""
    return mix64((state + _TAIL) ^ block ^ ((length & U7) << _U56))


@kernel
def _hash_strings(data, offsets, seed):  # type: ignore[no-untyped-def]
    keys = np.zeros(len(offsets) - 1, dtype=np.uint64)
    for row in range(len(keys)):
        state, block, length = init_state(seed), U0, U0
        for i in range(offsets[row], offsets[row + 1]):
            block = (block << U8) | np.uint64(data[i])
            length += U1
            if length & U7 == U0:
                state, block = mix64(state ^ block), U0
        if length:
            keys[row] = max(_finish(state, block, length), U1)
    return keys


@kernel
def _hash_texts(data, offsets, seed):  # type: ignore[no-untyped-def]
    keys = np.zeros(len(offsets) - 1, dtype=np.uint64)
    for row in range(len(keys)):
        keys[row] = _hash_text(data, offsets[row], offsets[row + 1], init_state(seed))
    return keys


@kernel
def _hash_text(data, i, stop, state):  # type: ignore[no-untyped-def]
    """Chunk after chunk into one state. Each ends with its length, so "a b" is not "ab"."""
    empty, block, length = True, U0, U0
    while i < stop:
        space = space_width(data, i, stop)
        if space == 0:
            block = (block << U8) | np.uint64(data[i])
            length += U1
            if length & U7 == U0:
                state, block = mix64(state ^ block), U0
            i += 1
        else:
            if length:
                state, block, length, empty = _finish(state, block, length), U0, U0, False
            i += space
    if length:
        state, empty = _finish(state, block, length), False
    return U0 if empty else max(state, U1)


@kernel
def space_width(data, i, stop):  # type: ignore[no-untyped-def]
    """Bytes of the whitespace character at `i`, 0 if it is none. The characters are those of `str.isspace`."""
    first = data[i]
    if first <= 0x20:
        return 1 if first == 0x20 or 0x09 <= first <= 0x0D or 0x1C <= first <= 0x1F else 0
    if first < 0xC2 or first > 0xE3 or i + 1 >= stop:
        return 0
    second = data[i + 1]
    if first == 0xC2:
        return 2 if second == 0x85 or second == 0xA0 else 0
    if first < 0xE1 or i + 2 >= stop:
        return 0
    third = data[i + 2]
    if first == 0xE1:
        return 3 if second == 0x9A and third == 0x80 else 0
    if first == 0xE3:
        return 3 if second == 0x80 and third == 0x80 else 0
    if second == 0x80:
        return 3 if third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF else 0
    return 3 if second == 0x81 and third == 0x9F else 0


@kernel
def skip_spaces(data, i, stop):  # type: ignore[no-untyped-def]
    """Where data[i:stop] begins without the whitespace in front."""
    while i < stop:
        width = 1 if data[i] == 0x20 else space_width(data, i, stop)
        if width == 0:
            break
        i += width
    return i


@kernel
def strip_end(data, start, stop):  # type: ignore[no-untyped-def]
    """Where data[start:stop] ends without the whitespace behind."""
    while stop > start:
        last = stop - 1
        while last > start and data[last] & 0xC0 == 0x80:
            last -= 1
        if space_width(data, last, stop) == 0:
            break
        stop = last
    return stop


def is_blank(column: pa.Array) -> NDArray[np.bool_]:
    """Which strings are null, empty or nothing but whitespace (`str.isspace`): bool, shape (len(column),)."""
    return _blank(*string_buffers(column))  # type: ignore[no-any-return]


@kernel
def _blank(data, offsets):  # type: ignore[no-untyped-def]
    empty = np.empty(len(offsets) - 1, dtype=np.bool_)
    for row in range(len(empty)):
        empty[row] = skip_spaces(data, offsets[row], offsets[row + 1]) >= offsets[row + 1]
    return empty


_SEED = np.uint64(0xC4)


@kernel
def hash_bytes(data, start, stop):  # type: ignore[no-untyped-def]
    """64-bit hash of data[start:stop], never 0."""
    state, i = init_state(_SEED), start
    while i + 8 <= stop:
        block = U0
        for k in range(8):  # one load after LLVM
            block |= np.uint64(data[i + k]) << np.uint64(8 * k)
        state = mix64(state ^ block)
        i += 8
    block = U0
    while i < stop:
        block = (block << np.uint64(8)) | np.uint64(data[i])
        i += 1
    return max(mix64(state ^ block ^ (np.uint64(stop - start) << np.uint64(56))), U1)

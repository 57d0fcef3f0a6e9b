"""64-bit hashes of strings, computed on Arrow's buffers without a Python object for a document or a word.

A string is read in blocks of eight bytes; each block is xored into the state and the state mixed, so the hash depends
on their order. The hash does not depend on the machine's byte order (byte_blocks.py).

Two of n unequal strings collide with probability n^2 / 2^65: 2.4e-3 among 3e8 keys.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import BoolArray, Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.byte_blocks import first_highest, load_block, n_bytes, visible
from gpts_data.pipelines.text.char_classes import last_character

# Numba computes a uint64 combined with a signed integer as a float, so every constant has its type.
U0, U1, U3, U7, U8 = (np.uint64(n) for n in (0, 1, 3, 7, 8))
_U56 = np.uint64(56)
_SHIFT = np.uint64(32)
_MIX = np.uint64(0xD6E8FEB86659FD93)  # https://nullprogram.com/blog/2018/07/31/
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: splitmix64's increment
_TAIL = np.uint64(0xA0761D6478BD642F)  # makes the last, partial block differ from a full one

StringBuffers = tuple[NDArray[np.uint8], NDArray[np.int64]]
"""The UTF-8 bytes of a column, and the offset of each row in them; row i is data[offsets[i] : offsets[i + 1]]."""


def string_buffers(column: pa.Array) -> StringBuffers:
    """Return the buffers of a column of strings; null becomes empty. The text is copied only if there are nulls.

    Neither array can be written to, whatever the column was read from: numba compiles a kernel once for arrays that
    can be written to and once for those that cannot.
    """
    data, offsets = _string_buffers(column)
    data.flags.writeable = offsets.flags.writeable = False
    return data, offsets


def _string_buffers(column: pa.Array) -> StringBuffers:
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        column = column.cast(pa.large_string())
    if column.null_count:
        column = pc.fill_null(column, "")
    if len(column) == 0:
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offsets, data = column.buffers()
    width = np.int32 if pa.types.is_string(column.type) else np.int64
    row_offsets = np.frombuffer(offsets, width)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8), row_offsets.astype(np.int64, copy=False)


def hash_strings(column: pa.Array, seed: int) -> NDArray[np.uint64]:
    """Hash each string of a column: uint64, shape (len(column),); 0 only for null and the empty string."""
    keys = np.zeros(len(column), np.uint64)
    _hash_strings(*string_buffers(column), np.uint64(seed), keys)
    return keys


def hash_texts(column: pa.Array, seed: int) -> NDArray[np.uint64]:
    """Hash each text of a column so that texts with the same `" ".join(text.split())` have the same hash.

    uint64, shape (len(column),); 0 for texts without a word, and only for them.
    """
    keys = np.zeros(len(column), np.uint64)
    _hash_texts(*string_buffers(column), np.uint64(seed), keys)
    return keys


@kernel
def mix64(x: np.uint64) -> np.uint64:
    """Mix 64 bits, by a bijection in which every bit of the result depends on every bit of `x`."""
    x = (x ^ (x >> _SHIFT)) * _MIX
    x = (x ^ (x >> _SHIFT)) * _MIX
    return x ^ (x >> _SHIFT)


@kernel
def init_state(seed: np.uint64) -> np.uint64:
    """Return the state before the first block. Different seeds give unrelated hashes."""
    return mix64((seed + U1) * _GOLDEN)


@inner_kernel
def _finish(state: np.uint64, block: np.uint64, length: np.uint64) -> np.uint64:
    """Return the state after the last 0 to 7 bytes; their number goes into the top byte, which they leave free."""
    return mix64((state + _TAIL) ^ block ^ ((length & U7) << _U56))


@kernel
def _hash_strings(data: UInt8Array, offsets: Int64Array, seed: np.uint64, keys: UInt64Array) -> None:
    for row in range(len(keys)):
        state, block, length = init_state(seed), U0, U0
        for i in range(offsets[row], offsets[row + 1]):
            block = (block << U8) | np.uint64(data[i])
            length += U1
            if length & U7 == U0:
                state, block = mix64(state ^ block), U0
        if length:
            keys[row] = max(_finish(state, block, length), U1)


@kernel
def _hash_texts(data: UInt8Array, offsets: Int64Array, seed: np.uint64, keys: UInt64Array) -> None:
    for row in range(len(keys)):
        keys[row] = _hash_text(data, offsets[row], offsets[row + 1], init_state(seed))


@inner_kernel
def _hash_text(data: UInt8Array, i: int, stop: int, state: np.uint64) -> np.uint64:
    """Hash the words between whitespace one after the other into one state.

    Each word ends with its length, so "a b" and "ab" differ.
    """
    empty, block, length = True, U0, U0
    while i < stop:
        if length & U7 == U0 and i + 8 <= stop:  # most words end within one block
            block = load_block(data, i)
            n = n_bytes(visible(block))
            if n:
                block = first_highest(block, n)
                length += np.uint64(n)
                i += n
                if n == 8:
                    state, block = mix64(state ^ block), U0
                    continue
            else:
                block = U0
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
def space_width(data: UInt8Array, i: int, stop: int) -> int:
    """Return the number of bytes of the whitespace character (`str.isspace`) at `i`, 0 if it is no whitespace."""
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


@inner_kernel
def skip_spaces(data: UInt8Array, i: int, stop: int) -> int:
    """Return where data[i:stop] begins without its leading whitespace."""
    while i < stop:
        width = 1 if data[i] == 0x20 else space_width(data, i, stop)
        if width == 0:
            break
        i += width
    return i


@inner_kernel
def strip_end(data: UInt8Array, start: int, stop: int) -> int:
    """Return where data[start:stop] ends without its trailing whitespace."""
    while stop > start:
        last = last_character(data, start, stop)
        if space_width(data, last, stop) == 0:
            break
        stop = last
    return stop


def is_blank(column: pa.Array) -> NDArray[np.bool_]:
    """Return which strings are null, empty or only whitespace (`str.isspace`): bool, shape (len(column),)."""
    blank = np.empty(len(column), np.bool_)
    _is_blank(*string_buffers(column), blank)
    return blank


@kernel
def _is_blank(data: UInt8Array, offsets: Int64Array, blank: BoolArray) -> None:
    for row in range(len(blank)):
        blank[row] = skip_spaces(data, offsets[row], offsets[row + 1]) >= offsets[row + 1]


_SEED = np.uint64(0xC4)


@inner_kernel
def hash_bytes(data: UInt8Array, start: int, stop: int) -> np.uint64:
    """Hash data[start:stop], never 0. For tables within one process: nothing that is stored depends on it."""
    state, i = init_state(_SEED), start
    while i + 8 <= stop:
        state = mix64(state ^ load_block(data, i))
        i += 8
    block = U0
    while i < stop:
        block = (block << np.uint64(8)) | np.uint64(data[i])
        i += 1
    return max(mix64(state ^ block ^ (np.uint64(stop - start) << np.uint64(56))), U1)

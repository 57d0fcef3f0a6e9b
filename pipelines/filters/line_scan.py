"""Finding the lines of a text, and whether any repeat, eight bytes at a time."""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import UInt8Array, UInt64Array, inner_kernel
from gpts_data.pipelines.text.byte_blocks import ONES, TOPS, load_block
from gpts_data.pipelines.text.hash_table import slot_of
from gpts_data.pipelines.text.hashing import U0, U1, hash_bytes, mix64

_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_SPACES = np.uint64(0x2020202020202020)


@inner_kernel
def has_zero_byte(block: np.uint64) -> bool:
    """Return whether one of eight bytes is 0: https://graphics.stanford.edu/~seander/bithacks.html."""
    return bool((block - ONES) & ~block & TOPS != U0)


@inner_kernel
def find_newline(data: UInt8Array, i: int, stop: int) -> int:
    """Return the position of the first newline in data[i:stop], `stop` if there is none."""
    while i + 8 <= stop:
        if has_zero_byte(load_block(data, i) ^ _NEWLINES):
            break
        i += 8
    while i < stop and data[i] != 0x0A:
        i += 1
    return i


@inner_kernel
def is_plain(block: np.uint64) -> bool:
    """Return whether each of eight bytes is ASCII and no control character; False may be wrong."""
    return bool(((block - _SPACES) | block) & TOPS == U0)


@inner_kernel
def count_newlines(data: UInt8Array, start: int, stop: int) -> int:
    n = 0
    for i in range(start, stop):
        n += data[i] == 0x0A
    return n


def new_table_size(n: int) -> int:
    """Return what `table_size` returns, without compiling it."""
    return max(64, 1 << (2 * n - 1).bit_length())


@inner_kernel
def table_size(n: int) -> int:
    """Return the number of slots of a hash table for `n` hashes, at most half used: a power of two."""
    size = 64
    while size < 2 * n:
        size *= 2
    return size


@inner_kernel
def may_repeat(data: UInt8Array, start: int, stop: int, table: UInt64Array) -> bool:
    """Return whether a line of data[start:stop] may occur twice.

    False is certain: all lines that are not empty differ in length or in their first or last eight bytes. `table` is
    scratch space with room for all lines of the text.
    """
    table = table[: table_size(count_newlines(data, start, stop) + 1)]
    table[:] = U0
    while start < stop:
        end = find_newline(data, start, stop)
        if end > start:
            if end - start >= 8:
                key = mix64(load_block(data, start) ^ mix64(load_block(data, end - 8) ^ np.uint64(end - start)))
            else:
                key = hash_bytes(data, start, end)
            slot = slot_of(table, max(key, U1))
            if table[slot] != U0:
                return True
            table[slot] = max(key, U1)
        start = end + 1
    return False


@inner_kernel
def add_and_compare(data: UInt8Array, start: int, stop: int, table: UInt64Array) -> tuple[int, int]:
    """Add data[start:stop] to the table; return 1 and its number of characters if it was there before, else 0 and 0."""
    key = hash_bytes(data, start, stop)
    slot = slot_of(table, key)
    if table[slot] == U0:
        table[slot] = key
        return 0, 0
    return 1, count_characters(data, start, stop)


@inner_kernel
def count_characters(data: UInt8Array, start: int, stop: int) -> int:
    n = 0
    for i in range(start, stop):
        n += data[i] & 0xC0 != 0x80
    return n

"""Lines of a text and whether they repeat, eight bytes at a time."""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hash_table import slot_of
from gpts_data.pipelines.text.hashing import U0, U1, hash_bytes, mix64

_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_ONES, _TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)


@kernel
def _load(data, i):  # type: ignore[no-untyped-def]
    """data[i:i+8] as one number, the first byte lowest; one load after LLVM."""
    block = U0
    for k in range(8):
        block |= np.uint64(data[i + k]) << np.uint64(8 * k)
    return block


@kernel
def find_newline(data, i, stop):  # type: ignore[no-untyped-def]
    """Where the first newline of data[i:stop] is, else `stop`."""
    while i + 8 <= stop:
        block = _load(data, i) ^ _NEWLINES
        if (block - _ONES) & ~block & _TOPS:  # a byte is 0: https://graphics.stanford.edu/~seander/bithacks.html
            break
        i += 8
    while i < stop and data[i] != 0x0A:
        i += 1
    return i


@kernel
def newlines(data, start, stop):  # type: ignore[no-untyped-def]
    """How many there are."""
    n = 0
    for i in range(start, stop):
        n += data[i] == 0x0A
    return n


@kernel
def room_for(n):  # type: ignore[no-untyped-def]
    """Slots of a table for `n` hashes, at most half used."""
    room = 64
    while room < 2 * n:
        room *= 2
    return room


@kernel
def may_repeat(data, start, stop, table):  # type: ignore[no-untyped-def]
    """False if all lines that are not empty differ in length or in their first or last eight bytes, so for certain.

    `table` has room for all lines of the text.
    """
    table = table[: room_for(newlines(data, start, stop) + 1)]
    table[:] = U0
    while start < stop:
        end = find_newline(data, start, stop)
        if end > start:
            if end - start >= 8:
                key = mix64(_load(data, start) ^ mix64(_load(data, end - 8) ^ np.uint64(end - start)))
            else:
                key = hash_bytes(data, start, end)
            slot = slot_of(table, max(key, U1))
            if table[slot] != U0:
                return True
            table[slot] = max(key, U1)
        start = end + 1
    return False


@kernel
def seen(data, start, stop, table):  # type: ignore[no-untyped-def]
    """1 and its characters if data[start:stop] is in the table already, else 0 and 0; it is from now on."""
    key = hash_bytes(data, start, stop)
    slot = slot_of(table, key)
    if table[slot] == U0:
        table[slot] = key
        return 0, 0
    return 1, count_characters(data, start, stop)


@kernel
def count_characters(data, start, stop):  # type: ignore[no-untyped-def]
    n = 0
    for i in range(start, stop):
        n += data[i] & 0xC0 != 0x80
    return n

"""Open-addressing tables of 64-bit hashes: 0 is an empty slot, the low bits are the address."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hashing import U0, U1


@kernel
def slot_of(table, key):  # type: ignore[no-untyped-def]
    """Where `key` is in the table, or the empty slot where it belongs."""
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    while table[slot] != U0 and table[slot] != key:
        slot = (slot + U1) & mask
    return slot


@kernel
def in_set(table, key):  # type: ignore[no-untyped-def]
    return table[slot_of(table, key)] != U0


@kernel
def insert(table, values, keys, new):  # type: ignore[no-untyped-def]
    """Put keys and their values into the table, which has room. Returns how many keys were not there."""
    added = 0
    for k in range(len(keys)):
        slot = slot_of(table, keys[k])
        added += table[slot] == U0
        table[slot] = keys[k]
        values[slot] = new[k]
    return added


def hash_set(hashes: Iterable[int]) -> NDArray[np.uint64]:
    """A table of these hashes for `in_set`, at most a quarter used."""
    keys = np.array(sorted(hashes), dtype=np.uint64)
    table = np.zeros(max(64, 1 << (4 * len(keys)).bit_length()), dtype=np.uint64)
    insert(table, table.copy(), keys, keys)
    return table

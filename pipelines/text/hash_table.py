"""Open-addressing hash tables of 64-bit hashes: 0 marks an empty slot, the low bits of a hash give its slot."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.hashing import U0, U1

FILTER_BLOCKS = 1024
_BLOCK, _TO_BIT, _BIT = np.uint64(FILTER_BLOCKS - 1), np.uint64(10), np.uint64(63)


@inner_kernel
def slot_of(table: UInt64Array, key: np.uint64) -> np.uint64:
    """Return the slot of `key`, or the empty slot where it belongs. The table must have an empty slot."""
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    while table[slot] != U0 and table[slot] != key:
        slot = (slot + U1) & mask
    return slot


@inner_kernel
def in_set(table: UInt64Array, key: np.uint64) -> bool:
    return bool(table[slot_of(table, key)] != U0)


@kernel
def insert(table: UInt64Array, values: UInt64Array, keys: UInt64Array, new_values: UInt64Array) -> int:
    """Insert keys and their values into a table that has room for them. Return how many keys were new."""
    added = 0
    for k in range(len(keys)):
        slot = slot_of(table, keys[k])
        added += table[slot] == U0
        table[slot] = keys[k]
        values[slot] = new_values[k]
    return added


def hash_set(hashes: Iterable[int]) -> NDArray[np.uint64]:
    """Build a table of these hashes for `in_set`; at most a quarter of its slots are used."""
    keys = np.array(sorted(hashes), dtype=np.uint64)
    table = np.zeros(max(64, 1 << (4 * len(keys)).bit_length()), dtype=np.uint64)
    insert(table, table.copy(), keys, keys)
    return table


@inner_kernel
def in_filter(blocks: UInt64Array, key: np.uint64) -> bool:
    """Return whether `key` may be one of the hashes of a `hash_filter`. False is certain."""
    return bool((blocks[key & _BLOCK] >> ((key >> _TO_BIT) & _BIT)) & U1 != U0)


def hash_filter(hashes: Iterable[int]) -> NDArray[np.uint64]:
    """Build a set of these hashes for `in_filter`: 8 KB, where the `hash_set` of a thousand hashes takes 32 KB."""
    keys, blocks = np.array(sorted(hashes), np.uint64), np.zeros(FILTER_BLOCKS, np.uint64)
    np.bitwise_or.at(blocks, keys & _BLOCK, U1 << ((keys >> _TO_BIT) & _BIT))
    return blocks

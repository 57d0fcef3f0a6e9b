"""Greedy dedup in canonical order: which documents are in the mix.

A document is dropped when it shares a key with an earlier document that is *in the mix*, kept and within its source's
budget. So every drop names the kept document it repeats, template families do not chain together, and reading more
documents never changes an earlier decision. (datatrove merges connected components instead.)

Memory: 12 bytes a slot, at most half the slots used: 24 to 48 bytes per key, 17 keys a document at the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

TRAIN, HELD_OUT, OVER_BUDGET, EXCLUDED, FIRST_DUPLICATE = range(5)
"""Verdicts. From FIRST_DUPLICATE on: `verdict - FIRST_DUPLICATE` is the key column that matched, bands as one."""

_N_NAMED_KEYS = 3  # text, id, url; the bands follow and count as one reason


@dataclass(frozen=True)
class Verdicts:
    """Per document of a batch: `codes` uint8, and `twins` uint32, the ordinal of the kept document it repeats."""

    codes: NDArray[np.uint8]
    twins: NDArray[np.uint32]
    tokens: int
    """Training tokens this batch adds to the stream, the last document whole."""


class Kept:
    """The keys of all documents in the mix so far: an open-addressing table that grows by doubling."""

    def __init__(self) -> None:
        self._keys = np.zeros(1 << 16, dtype=np.uint64)
        self._owners = np.zeros(1 << 16, dtype=np.uint32)
        self._used = 0
        self._seen = 0

    def decide(
        self, keys: NDArray[np.uint64], tokens: NDArray[np.uint32], held_out: NDArray[np.bool_], budget: int,
        excluded: NDArray[np.bool_] | None = None,
    ) -> Verdicts:  # fmt: skip
        """Judge the next documents in canonical order and remember the kept ones.

        keys: uint64 (documents, keys), 0 for none; tokens: their lengths; held_out: True keeps a document for
        validation, outside the budget; budget: training tokens the source still wants, 0 puts every document over
        budget; excluded: True for a document that is not to be in the mix for another reason, so that it is nobody's
        twin either.
        """
        excluded = np.zeros(len(keys), np.bool_) if excluded is None else excluded
        self._grow(keys.size)
        codes = np.empty(len(keys), dtype=np.uint8)
        twins = np.zeros(len(keys), dtype=np.uint32)
        used, taken = _decide(
            self._keys, self._owners, keys, tokens, held_out, budget, excluded, self._seen, codes, twins
        )
        self._used += used
        self._seen += len(keys)
        return Verdicts(codes, twins, taken)

    def _grow(self, coming: int) -> None:
        size = len(self._keys)
        while 2 * (self._used + coming) > size:
            size *= 2
        if size > len(self._keys):
            old_keys, old_owners = self._keys, self._owners
            self._keys, self._owners = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint32)
            _reinsert(old_keys, old_owners, self._keys, self._owners)


@numba.njit(cache=True)
def _slot(table, key):  # type: ignore[no-untyped-def]
    """Where `key` is, or the empty slot where it belongs. The keys are hashes already: their low bits are the
    address."""
    mask = np.uint64(len(table) - 1)
    slot = key & mask
    while table[slot] != 0 and table[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return slot


@numba.njit(cache=True)
def _reinsert(old_keys, old_owners, new_keys, new_owners):  # type: ignore[no-untyped-def]
    for i in range(len(old_keys)):
        if old_keys[i] != 0:
            slot = _slot(new_keys, old_keys[i])
            new_keys[slot] = old_keys[i]
            new_owners[slot] = old_owners[i]


@numba.njit(cache=True)
def _decide(table, owners, keys, tokens, held_out, budget, excluded, seen, codes, twins):  # type: ignore[no-untyped-def]
    used = 0
    taken = 0
    for d in range(len(keys)):
        if taken >= budget:
            codes[d] = OVER_BUDGET
            continue
        if excluded[d]:
            codes[d] = EXCLUDED
            continue
        match = -1
        for c in range(keys.shape[1]):
            if keys[d, c] != 0:
                slot = _slot(table, keys[d, c])
                if table[slot] != 0:
                    match = c
                    twins[d] = owners[slot]
                    break
        if match >= 0:
            codes[d] = FIRST_DUPLICATE + min(match, _N_NAMED_KEYS)
            continue
        for c in range(keys.shape[1]):
            if keys[d, c] != 0:
                slot = _slot(table, keys[d, c])
                if table[slot] == 0:
                    table[slot] = keys[d, c]
                    owners[slot] = seen + d
                    used += 1
        if held_out[d]:
            codes[d] = HELD_OUT
        else:
            codes[d] = TRAIN
            taken += tokens[d]
    return used, taken

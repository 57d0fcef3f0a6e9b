"""Greedy dedup in canonical order: which documents are in the mix.

A document is dropped when it shares a key with an earlier document that is *in the mix*, kept and within its source's
budget. So every drop names the kept document it repeats, template families do not chain together, and reading more
documents never changes an earlier decision. (datatrove merges connected components instead.)

A key that only one document has decides nothing. So first the keys that several have are found, range by range of their
values, each range by itself and anywhere (`find_shared`), and numbered; then one walk over the documents needs 4 bytes
for each of these (`Kept`): at most 34 bytes a document, when every one of 17 keys is in just two documents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel

TRAIN, HELD_OUT, OVER_BUDGET, EXCLUDED, FIRST_DUPLICATE = range(5)
"""Verdicts. From FIRST_DUPLICATE on: `verdict - FIRST_DUPLICATE` is the key column that matched, bands as one."""

DOCUMENT, RESUME_AT, CONFIRMED, TAKEN = range(4)
"""Where the walk stands when it asks."""

SimilarityTest = Callable[[int, int], bool]
"""Whether two documents, by ordinal, are alike enough that a band they share counts."""

_N_NAMED_KEYS = 3  # text, id, url; the bands follow and count as one reason


@dataclass(frozen=True)
class SharedKeys:
    """Where documents have keys that others have too, in order of place.

    places: uint64, document * columns of keys + column. groups: uint32, equal where the keys are, below `n_groups`.
    """

    places: NDArray[np.uint64]
    groups: NDArray[np.uint32]
    n_groups: int


@dataclass(frozen=True)
class Verdicts:
    """Per document `codes` uint8, and of each that is a duplicate, in order, `twins` uint32: the ordinal of the kept
    document it repeats."""

    codes: NDArray[np.uint8]
    duplicate_of: NDArray[np.uint32]
    tokens: int
    """Training tokens these documents add to the stream, the last one whole."""


def find_shared_keys(keys: NDArray[np.uint64], places: NDArray[np.uint64]) -> SharedKeys:
    """The keys that occur more than once, 0 left out. keys, places: uint64, one entry each; a place occurs once.

    Sorts, at 32 bytes a key.
    """
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    again = np.zeros(len(keys) + 1, dtype=np.bool_)
    again[1:-1] = (keys[1:] == keys[:-1]) & (keys[1:] != 0)
    member = again[1:] | again[:-1]
    first = (again[1:] & ~again[:-1])[member]
    places = places[order[member]]
    groups = (np.cumsum(first) - 1).astype(np.uint32)
    order = np.argsort(places)
    return SharedKeys(places[order], groups[order], int(first.sum()))


class DedupState:
    """Which document of the mix was the first to have each shared key. 4 bytes a group."""

    def __init__(self, n_groups: int, columns: int) -> None:
        self._columns = columns
        self._owners = np.zeros(n_groups, dtype=np.uint32)  # ordinal and 1; 0 is nobody yet
        self.seen = 0

    def decide(
        self, shared: SharedKeys, tokens: NDArray[np.uint32], held_out: NDArray[np.bool_], excluded: NDArray[np.bool_],
        budget: int, similar: SimilarityTest | None = None,
    ) -> Verdicts:  # fmt: skip
        """Judge the next documents in canonical order and remember the kept ones.

        shared: their places, counted from the first of them; tokens: their lengths; held_out: True keeps a document for
        validation, outside the budget; excluded: True drops it, whatever it shares; budget: training tokens the source
        still wants, 0 puts every document over budget; similar: asked whether a shared band counts, of each owner of
        one in the order of the columns, until one does.
        """
        codes = np.empty(len(tokens), dtype=np.uint8)
        twins = np.zeros(len(tokens), dtype=np.uint32)
        state = np.zeros(4, dtype=np.int64)
        refused: dict[int, set[int]] = {}
        while True:
            asked = _decide(
                self._owners, shared.places, shared.groups, self._columns, tokens, held_out, excluded, budget,
                self.seen, similar is not None, state, codes, twins,
            )  # fmt: skip
            if asked < 0 or similar is None:
                break
            document, owner = self.seen + int(state[DOCUMENT]), int(self._owners[shared.groups[asked]]) - 1
            before = refused.get(document, set())
            sure = owner not in before and similar(document, owner)
            refused = {document: before | {owner}}
            state[RESUME_AT], state[CONFIRMED] = (asked, 1) if sure else (asked + 1, 0)
        self.seen += len(tokens)
        return Verdicts(codes, twins[codes >= FIRST_DUPLICATE], int(state[TAKEN]))


def decide(keys: NDArray[np.uint64], tokens: NDArray[np.uint32], held_out: NDArray[np.bool_], budget: int) -> Verdicts:
    """All of it at once, for one source that fits in memory. keys: uint64 (documents, keys), 0 for none."""
    shared = find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64))
    nobody = np.zeros(len(keys), dtype=np.bool_)
    return DedupState(shared.n_groups, keys.shape[1]).decide(shared, tokens, held_out, nobody, budget)


@kernel
def _decide(  # type: ignore[no-untyped-def]
    owners, places, groups, columns, tokens, held_out, excluded, budget, seen, ask, state, codes, twins
):
    """Judge from state[DOCUMENT] on, whose places may match from state[FROM] on. Returns -1 when all are judged, or
    the place of a band that shall be asked about; state[SURE] says that it was, and counts."""
    d, start, taken = state[DOCUMENT], _begin(places, state[DOCUMENT] * columns, state[RESUME_AT]), state[TAKEN]
    while d < len(codes):
        stop = start
        while stop < len(places) and np.int64(places[stop]) < (d + 1) * columns:
            stop += 1
        match = -1
        if taken >= budget:
            codes[d] = OVER_BUDGET
        elif excluded[d]:
            codes[d] = EXCLUDED
        else:
            match = _first_owned(owners, groups, max(start, state[RESUME_AT]), stop)
            column = np.int64(places[match]) - d * columns if match >= 0 else 0
            if match >= 0 and ask and column >= _N_NAMED_KEYS and not state[CONFIRMED]:
                state[DOCUMENT], state[TAKEN] = d, taken
                return match
            if match >= 0:
                codes[d] = FIRST_DUPLICATE + min(column, _N_NAMED_KEYS)
                twins[d] = owners[groups[match]] - 1
            else:
                _own(owners, groups, start, stop, seen + d + 1)
                codes[d] = HELD_OUT if held_out[d] else TRAIN
                taken += 0 if held_out[d] else tokens[d]
        state[CONFIRMED] = 0
        start = stop
        d += 1
    state[TAKEN] = taken
    return -1


@kernel
def _begin(places, place, k):  # type: ignore[no-untyped-def]
    """Where the places from `place` on begin; they lie around `k`."""
    while k > 0 and np.int64(places[k - 1]) >= place:
        k -= 1
    return k


@kernel
def _first_owned(owners, groups, start, stop):  # type: ignore[no-untyped-def]
    for k in range(start, stop):
        if owners[groups[k]] != 0:
            return k
    return -1


@kernel
def _own(owners, groups, start, stop, owner):  # type: ignore[no-untyped-def]
    """Make `owner` that of the groups that nobody has."""
    for k in range(start, stop):
        if owners[groups[k]] == 0:
            owners[groups[k]] = owner

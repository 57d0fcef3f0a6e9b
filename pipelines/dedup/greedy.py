"""Greedy deduplication in canonical order: which documents are in the mix.

A document is dropped when it shares a key with an earlier document that is *in the mix*, which means kept and within
its source's budget. So every drop names the kept document that it repeats, template families do not chain together, and
reading more documents never changes an earlier decision. (datatrove merges connected components instead.)

A key that only one document has decides nothing. Therefore the keys that several documents share are found first, each
range of key values by itself on any machine (`find_shared_keys`), and numbered. One walk over the documents then needs
4 bytes for each shared key (`DedupState`): at most 34 bytes per document, when each of its 17 keys is shared with just
one other document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.kernel import BoolArray, Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel

UInt32Array = NDArray[np.uint32]

TRAIN, HELD_OUT, OVER_BUDGET, CONTAMINATED, FIRST_EXCLUDED = range(5)
FIRST_DUPLICATE = FIRST_EXCLUDED + 3
"""Verdicts. From FIRST_DUPLICATE on, `verdict - FIRST_DUPLICATE` is the key column that matched; all bands are one. The
three before it are given by the caller, to documents in one of three kinds of lists of what to exclude."""

DOCUMENT, RESUME_AT, CONFIRMED, TAKEN = range(4)
"""State of the walk: the next document, the first of its shared keys that may match, whether that one was confirmed by
the similarity test, and the training tokens taken so far."""

SimilarityTest = Callable[[int, int], bool]
"""Whether two documents, by ordinal, are similar enough for a shared band to count."""

MAX_DOCUMENTS = 2**32 - 2  # ordinals have 32 bits, here and in the outcomes of a mix
N_NAMED_KEYS = 3  # text, id, url; the columns after them are bands, which count as one reason


class SharedKeys(NamedTuple):
    """The keys of some documents that other documents have too, in ascending order of place.

    places: uint64, document number * number of key columns + column. groups: int64, below `n_groups`, equal for equal
    keys; 500 million documents that share each of 17 keys with one other have more than 2^32 of them.
    """

    places: UInt64Array
    groups: Int64Array
    n_groups: int


class _Documents(NamedTuple):
    tokens: UInt32Array
    held_out: BoolArray
    excluded: BoolArray


class _Result(NamedTuple):
    codes: UInt8Array
    duplicate_of: UInt32Array


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on some documents.

    codes: uint8, one per document. duplicate_of: uint32, one per duplicate in order, the ordinal of the kept document
    that it repeats. tokens: training tokens that these documents add to the stream, the last document whole.
    """

    codes: UInt8Array
    duplicate_of: UInt32Array
    tokens: int


def check_documents(n: int) -> None:
    """Raise `DataError` when a build has more documents that passed its filters than ordinals can count."""
    if n > MAX_DOCUMENTS:
        raise DataError(
            f"found {n:,} documents that passed the filters, expected at most {MAX_DOCUMENTS:,}; lower --tokens, or "
            "build several mixes"
        )


def find_shared_keys(keys: UInt64Array, places: UInt64Array) -> SharedKeys:
    """The keys that occur more than once; 0 means "no key". keys, places: uint64, equally long; places are distinct.

    Sorts, which takes 32 bytes of memory per key.
    """
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    equals_previous = np.zeros(len(keys) + 1, dtype=np.bool_)
    equals_previous[1:-1] = (keys[1:] == keys[:-1]) & (keys[1:] != 0)
    is_shared = equals_previous[1:] | equals_previous[:-1]
    is_first = (equals_previous[1:] & ~equals_previous[:-1])[is_shared]
    places = places[order[is_shared]]
    groups = np.cumsum(is_first) - 1
    order = np.argsort(places)
    places, groups = places[order], groups[order]
    return SharedKeys(places, _number_by_first(groups, int(is_first.sum())), int(is_first.sum()))


def _number_by_first(groups: Int64Array, n_groups: int) -> Int64Array:
    """Number groups in the order in which they occur first, so that a walk comes to new ones in ascending order."""
    first = np.empty(n_groups, np.int64)
    first[groups[::-1]] = np.arange(len(groups))[::-1]  # of equal indices, numpy keeps the value assigned last
    numbers = np.empty(n_groups, np.int64)
    numbers[np.argsort(first)] = np.arange(n_groups)
    return numbers[groups]


class DedupState:
    """Remembers for each shared key the first document of the mix that has it: 4 bytes per key.

    first_holders: zeros, uint32, shape (n_groups,), if these are to be kept elsewhere than in memory. In each range of
    keys, they are numbered in the order of the documents, so only duplicates go back in it.
    """

    def __init__(self, n_groups: int, columns: int, first_holders: UInt32Array | None = None) -> None:
        self._columns = columns
        # ordinal + 1; 0: no document yet
        self._first_holders = np.zeros(n_groups, np.uint32) if first_holders is None else first_holders
        self.seen = 0

    def decide(
        self,
        shared: SharedKeys,
        tokens: UInt32Array,
        held_out: BoolArray,
        excluded: BoolArray,
        budget: int,
        similar: SimilarityTest | None = None,
    ) -> Verdicts:
        """Judge the next documents in canonical order and remember the kept ones.

        shared: their shared keys, with documents numbered from the first of these. tokens: uint32, their lengths.
        held_out: True keeps a document for validation, outside the budget. excluded: True drops it as CONTAMINATED,
        whatever its keys, unless it is over budget.
        budget: training tokens that the source still needs; once they are taken, documents are over budget.
        similar: called for each holder of a band of the document, in the order of the columns, until it returns True;
        without it every shared band counts.

        Raises `DataError` for more than MAX_DOCUMENTS in all.
        """
        check_documents(self.seen + len(tokens))
        result = _Result(np.empty(len(tokens), np.uint8), np.zeros(len(tokens), np.uint32))
        documents, state = _Documents(tokens, held_out, excluded), np.zeros(4, np.int64)
        dissimilar: set[tuple[int, int]] = set()
        while True:
            arguments = shared, self._columns, documents, budget, self.seen, similar is not None, state, result
            candidate = _decide(self._first_holders, *arguments)
            if candidate < 0 or similar is None:
                break
            pair = self.seen + int(state[DOCUMENT]), int(self._first_holders[shared.groups[candidate]]) - 1
            confirmed = pair not in dissimilar and similar(*pair)
            dissimilar = {other for other in dissimilar if other[0] == pair[0]} | {pair}
            state[RESUME_AT], state[CONFIRMED] = (candidate, 1) if confirmed else (candidate + 1, 0)
        self.seen += len(tokens)
        is_duplicate = result.codes >= FIRST_DUPLICATE
        return Verdicts(result.codes, result.duplicate_of[is_duplicate], int(state[TAKEN]))

    def rewind(self, document: int) -> None:
        """Forget the documents from ordinal `document` on."""
        self._first_holders[self._first_holders > document] = 0
        self.seen = document


def decide(
    keys: UInt64Array, tokens: UInt32Array, held_out: BoolArray, budget: int, similar: SimilarityTest | None = None
) -> Verdicts:
    """Judge all documents of one source that fits in memory.

    keys: uint64, shape (documents, key columns), 0 where there is none. The others are those of `DedupState.decide`.
    """
    shared = find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64))
    excluded = np.zeros(len(keys), dtype=np.bool_)
    return DedupState(shared.n_groups, keys.shape[1]).decide(shared, tokens, held_out, excluded, budget, similar)


@kernel
def _decide(
    first_holders: UInt32Array,
    shared: SharedKeys,
    columns: int,
    documents: _Documents,
    budget: int,
    seen: int,
    ask: bool,
    state: Int64Array,
    result: _Result,
) -> int:
    """Judge documents from `state[DOCUMENT]` on.

    Returns -1 when all are judged, else the index in `shared` of a band whose two documents must be tested for
    similarity; the caller then sets RESUME_AT and CONFIRMED and calls again.
    """
    d, taken = state[DOCUMENT], state[TAKEN]
    start = _first_at_or_after(shared.places, d * columns, state[RESUME_AT])
    while d < len(result.codes):
        stop = start
        while stop < len(shared.places) and np.int64(shared.places[stop]) < (d + 1) * columns:
            stop += 1
        if taken >= budget:
            result.codes[d] = OVER_BUDGET
        elif documents.excluded[d]:
            result.codes[d] = CONTAMINATED
        else:
            match: int = _first_held(first_holders, shared.groups, max(start, state[RESUME_AT]), stop)
            column = np.int64(shared.places[match]) - d * columns if match >= 0 else 0
            if match >= 0 and ask and column >= N_NAMED_KEYS and not state[CONFIRMED]:
                state[DOCUMENT], state[TAKEN] = d, taken
                return match
            if match >= 0:
                result.codes[d] = FIRST_DUPLICATE + min(column, N_NAMED_KEYS)
                result.duplicate_of[d] = first_holders[shared.groups[match]] - 1
            else:
                _hold(first_holders, shared.groups, start, stop, seen + d + 1)
                result.codes[d] = HELD_OUT if documents.held_out[d] else TRAIN
                taken += 0 if documents.held_out[d] else documents.tokens[d]
        state[CONFIRMED] = 0
        start = stop
        d += 1
    state[TAKEN] = taken
    return -1


@inner_kernel
def _first_at_or_after(places: UInt64Array, place: int, k: int) -> int:
    """The index of the first of the ascending `places` that is not below `place`; it is `k` or shortly before."""
    while k > 0 and np.int64(places[k - 1]) >= place:
        k -= 1
    return k


@inner_kernel
def _first_held(first_holders: UInt32Array, groups: Int64Array, start: int, stop: int) -> int:
    """The index of the first of groups[start:stop] that a document of the mix has, -1 for none."""
    for k in range(start, stop):
        if first_holders[groups[k]] != 0:
            return k
    return -1


@inner_kernel
def _hold(first_holders: UInt32Array, groups: Int64Array, start: int, stop: int, holder: int) -> None:
    """Make `holder` the first holder of those groups that have none."""
    for k in range(start, stop):
        if first_holders[groups[k]] == 0:
            first_holders[groups[k]] = holder

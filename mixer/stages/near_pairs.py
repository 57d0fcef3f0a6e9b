"""Test in the workers which near-duplicate candidates are similar, before the walk over all documents asks.

The walk is one process, and a test takes 0.6 ms: 20 minutes for 25B tokens. Which pairs it will ask for depends on what
it keeps, but most often a document is compared with the first one that has the same key. These pairs are known from the
index, so they are tested beforehand (936 of the 1,442 pairs that 12M tokens of a corpus with many templates ask for);
the walk tests the others itself. The verdicts are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.stages.dedup_index import Index
from gpts_data.mixer.stages.dedup_search import read_listing, write_listing
from gpts_data.mixer.stages.similarity import SimilarTexts
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.dedup.greedy import N_NAMED_KEYS, SimilarityTest
from gpts_data.pipelines.dedup.signatures import Dedup, MinHash
from gpts_data.pipelines.execute import Engine, InProcess
from gpts_data.pipelines.storage.paths import AnyPath, as_path
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import get_encoder

PAIRS_AT_ONCE = 2000  # of a task: 1.2 s
DISSIMILAR, SIMILAR, UNTESTED = range(3)
ROW = np.uint64(32)  # a document is named by the number of its unit in the bits from ROW on, and its row below


class Pairs(NamedTuple):
    """Pairs of documents, in the order of the later ones; all arrays have the shape (pairs,)."""

    later: NDArray[np.uint64]
    earlier: NDArray[np.uint64]
    is_original: NDArray[np.bool_]
    """Whether the earlier one shares no key with a document before it, so that the walk keeps it."""


@dataclass(frozen=True)
class PairsTask:
    """One task: test some pairs. Of each later document, those after one that drops it for sure are not tested."""

    number: int
    units: AnyPath
    """File with the paths of all units."""
    pairs: Pairs
    tokenizer: AnyPath
    tokenizer_digest: str
    minhash: MinHash


def check_pairs(task: PairsTask) -> tuple[int, NDArray[np.uint8]]:
    """The number of the task, and the verdict on each pair: DISSIMILAR, SIMILAR or UNTESTED."""
    paths = read_listing(task.units)
    texts = Texts(get_encoder(task.tokenizer, task.tokenizer_digest))
    for unit in np.unique(np.concatenate([task.pairs.later, task.pairs.earlier]) >> ROW).tolist():
        texts.add(as_path(paths[unit]), unit << int(ROW))
    is_similar = SimilarTexts(texts, task.minhash.ngrams, task.minhash.jaccard)
    verdicts = np.full(len(task.pairs.later), UNTESTED, np.uint8)
    done = -1  # the last document that is similar to one that the walk keeps
    for n, (later, earlier, is_original) in enumerate(zip(*(column.tolist() for column in task.pairs), strict=True)):
        if later != done:
            verdicts[n] = SIMILAR if is_similar(later, earlier) else DISSIMILAR
            done = later if verdicts[n] == SIMILAR and is_original else done
    return task.number, verdicts


def candidates(index: Index, unit: int, columns: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The documents of a unit that share a key with an earlier one: shape (documents,). And the pairs of them with the
    first documents that have the same bands, in the order of the bands: shape (pairs, 2), the later one first.

    A document that shares its text, id or URL with an earlier one has no pair: the walk needs no test to drop it.
    """
    places, firsts = index.firsts(unit)
    first_documents = (firsts >> ROW << ROW) + (firsts & np.uint64(2**32 - 1)) // np.uint64(columns)
    rows, column = np.divmod(places, np.uint64(columns))
    later = (np.uint64(unit) << ROW) + rows
    is_repeated = first_documents != later
    is_named = is_repeated & (column < N_NAMED_KEYS)
    chosen = is_repeated & ~is_named & ~np.isin(later, later[is_named])
    pairs = np.stack([later[chosen], first_documents[chosen]], axis=1)
    _, once = np.unique(pairs, axis=0, return_index=True)
    return np.unique(later[is_repeated]), pairs[np.sort(once)]


class VerdictsBefore:
    """A `greedy.SimilarityTest` that knows the verdicts on some pairs, and asks another test for the others.

    texts: names documents by their ordinals; units are added to it in canonical order, before they are asked for.
    """

    def __init__(self, pairs: Pairs, verdicts: NDArray[np.uint8], texts: Texts, test: SimilarityTest) -> None:
        self._pairs, self._verdicts, self._texts, self._test = pairs, verdicts, texts, test

    def __call__(self, document: int, other: int) -> bool:
        later, earlier = (np.uint64(self._texts.place(ordinal)) for ordinal in (document, other))
        n = int(np.searchsorted(self._pairs.later, later))
        while n < len(self._verdicts) and self._pairs.later[n] == later:
            if self._pairs.earlier[n] == earlier and self._verdicts[n] != UNTESTED:
                return bool(self._verdicts[n] == SIMILAR)
            n += 1
        return self._test(document, other)


def checked_beforehand(
    test: SimilarityTest,
    texts: Texts,
    index: Index,
    units: Sequence[AnyPath],
    dedup: Dedup,
    tokenizer: Artifact,
    folder: AnyPath,
    engine: Engine,
) -> SimilarityTest:
    """`test`, with the verdicts that workers find beforehand, if there are workers and enough pairs.

    texts: names documents by their ordinals. units: the unit files in canonical order. folder: for their paths.
    """
    assert dedup.minhash is not None
    if isinstance(engine, InProcess):  # it would test the same pairs, and those of documents beyond the budget
        return test
    pairs, ends = _all_pairs(index, len(units), dedup.n_keys)
    if len(pairs.later) <= PAIRS_AT_ONCE:
        return test
    listing = write_listing(folder, "units", units)
    tasks = [
        PairsTask(
            n,
            listing,
            Pairs(pairs.later[start:end], pairs.earlier[start:end], pairs.is_original[start:end]),
            tokenizer.folder,
            tokenizer.digest,
            dedup.minhash,
        )
        for n, (start, end) in enumerate(pairwise([0, *ends]))
    ]
    verdicts = dict(engine.map(check_pairs, tasks))
    return VerdictsBefore(pairs, np.concatenate([verdicts[n] for n in range(len(tasks))]), texts, test)


def _all_pairs(index: Index, units: int, columns: int) -> tuple[Pairs, list[int]]:
    """The pairs of all units, and where tasks end: after a unit, with PAIRS_AT_ONCE or somewhat more."""
    repeated, pairs = [np.empty(0, np.uint64)], [np.empty((0, 2), np.uint64)]
    ends, count = list[int](), 0
    for unit in range(units):
        unit_repeated, unit_pairs = candidates(index, unit, columns)
        repeated.append(unit_repeated)
        pairs.append(unit_pairs)
        count += len(unit_pairs)
        if unit == units - 1 or count - (ends[-1] if ends else 0) >= PAIRS_AT_ONCE:
            ends.append(count)
    later, earlier = np.concatenate(pairs).T
    all_repeated = np.append(np.concatenate(repeated), np.uint64(2**64 - 1))
    is_original = all_repeated[np.searchsorted(all_repeated, earlier)] != earlier
    return Pairs(np.ascontiguousarray(later), np.ascontiguousarray(earlier), is_original), ends

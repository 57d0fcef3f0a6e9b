"""Test in the workers which near-duplicate candidates are similar, before the walk over all documents asks.

The walk is one process, and a test takes 0.6 ms: 20 minutes for 25B tokens. Which pairs it asks for depends on what it
keeps. So it is rehearsed with the keys alone: a pair of which nothing is known counts as similar, which most are, and
the workers test these pairs. This is repeated until a rehearsal asks for few new ones. The walk then knows nearly all
verdicts that it needs, and tests the others itself, as where a document is over budget. Its decisions are the same.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.stages.dedup_index import Index, zeros
from gpts_data.mixer.stages.dedup_search import read_listing, write_listing
from gpts_data.mixer.stages.similarity import SimilarTexts
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.dedup.greedy import DedupState, SimilarityTest
from gpts_data.pipelines.dedup.signatures import Dedup, MinHash
from gpts_data.pipelines.execute import Engine, InProcess
from gpts_data.pipelines.storage.paths import AnyPath, as_path
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import get_encoder

PAIRS_AT_ONCE = 2000  # of a task: 1.2 s
FEW_PAIRS = 2000  # are left to the walk
DOCUMENTS_PER_TEST = 2000  # that a rehearsal walks over in the time of one test
ROW = 32  # a document is named by the number of its unit in the bits from ROW on, and its row below
UNLIMITED = 1 << 62  # tokens


@dataclass(frozen=True)
class PairsTask:
    """One task: test some pairs of documents."""

    number: int
    units: AnyPath
    """File with the paths of all units."""
    later: NDArray[np.uint64]
    """Names of documents, shape (pairs,)."""
    earlier: NDArray[np.uint64]
    tokenizer: AnyPath
    tokenizer_digest: str
    minhash: MinHash


def check_pairs(task: PairsTask) -> tuple[int, NDArray[np.bool_]]:
    """The number of the task, and whether the documents of each pair are similar."""
    paths = read_listing(task.units)
    texts = Texts(get_encoder(task.tokenizer, task.tokenizer_digest))
    for unit in np.unique(np.concatenate([task.later, task.earlier]) >> np.uint64(ROW)).tolist():
        texts.add(as_path(paths[unit]), unit << ROW)
    is_similar = SimilarTexts(texts, task.minhash.ngrams, task.minhash.jaccard)
    pairs = zip(task.later.tolist(), task.earlier.tolist(), strict=True)
    return task.number, np.array([is_similar(*pair) for pair in pairs], np.bool_)


class KnownVerdicts:
    """The verdicts on the pairs that were tested, in rounds; those of a round by the later documents, in order."""

    def __init__(self) -> None:
        self._rounds: list[tuple[array[int], array[int], NDArray[np.bool_]]] = []

    def add(self, later: array[int], earlier: array[int], verdicts: NDArray[np.bool_]) -> None:
        """Add a round. later, earlier: names of documents."""
        self._rounds.append((later, earlier, verdicts))

    def find(self, document: int, other: int) -> bool | None:
        """Return whether two documents, given by name, are similar; None if they were not tested."""
        for later, earlier, verdicts in self._rounds:
            n = bisect_left(later, document)
            while n < len(later) and later[n] == document:
                if earlier[n] == other:
                    return bool(verdicts[n])
                n += 1
        return None


def checked_beforehand(
    test: SimilarityTest,
    texts: Texts,
    index: Index,
    units: Sequence[AnyPath],
    dedup: Dedup,
    tokenizer: Artifact,
    folder: AnyPath,
    scratch: Path,
    engine: Engine,
) -> SimilarityTest:
    """`test`, with the verdicts that workers find beforehand, if there are workers and enough pairs.

    texts: names documents by their ordinals. units: the unit files in canonical order. folder: for their paths.
    scratch: as for `dedup_index.index`.
    """
    assert dedup.minhash is not None
    if isinstance(engine, InProcess):  # it would test the same pairs, and those of documents beyond the budget
        return test
    known = KnownVerdicts()
    while True:
        later, earlier, documents = _rehearse(index, len(units), dedup.n_keys, scratch, known)
        if len(later) <= max(FEW_PAIRS, documents // DOCUMENTS_PER_TEST):
            break
        listing = write_listing(folder, "units", units)
        tasks = _tasks(later, earlier, listing, tokenizer, dedup.minhash)
        verdicts = dict(engine.map(check_pairs, tasks))
        known.add(later, earlier, np.concatenate([verdicts[n] for n in range(len(tasks))]))

    def is_similar(document: int, other: int) -> bool:
        verdict = known.find(texts.place(document), texts.place(other))
        return test(document, other) if verdict is None else verdict

    return is_similar


def _tasks(
    later: array[int], earlier: array[int], listing: AnyPath, tokenizer: Artifact, minhash: MinHash
) -> list[PairsTask]:
    laters, earliers = np.array(later, np.uint64), np.array(earlier, np.uint64)
    return [
        PairsTask(
            n,
            listing,
            laters[start : start + PAIRS_AT_ONCE],
            earliers[start : start + PAIRS_AT_ONCE],
            tokenizer.folder,
            tokenizer.digest,
            minhash,
        )
        for n, start in enumerate(range(0, len(later), PAIRS_AT_ONCE))
    ]


def _rehearse(
    index: Index, units: int, columns: int, scratch: Path, known: KnownVerdicts
) -> tuple[array[int], array[int], int]:
    """Walk over the keys of all units, as if each document had one token and none were excluded.

    Returns the pairs that were asked for and are not known, the names of the later and of the earlier documents, and
    the number of documents walked over.
    """
    state = DedupState(index.n_groups, columns, zeros(index.n_groups, scratch))
    later, earlier, firsts = array("Q"), array("Q"), list[int]()

    def name(ordinal: int) -> int:
        unit = bisect_right(firsts, ordinal) - 1
        return (unit << ROW) + ordinal - firsts[unit]

    def is_similar(document: int, other: int) -> bool:
        pair = name(document), name(other)
        verdict = known.find(*pair)
        if verdict is None:
            later.append(pair[0])
            earlier.append(pair[1])
        return verdict is not False

    for unit in range(units):
        shared = index.of(unit)
        size = int(shared.places[-1]) // columns + 1 if len(shared.places) else 0  # up to the last one with shared keys
        firsts.append(state.seen)
        tokens, nobody = np.ones(size, np.uint32), np.zeros(size, np.bool_)
        tokens.flags.writeable = False  # as those of a unit file, for which the kernel is compiled
        state.decide(shared, tokens, nobody, nobody, UNLIMITED, is_similar)
    return later, earlier, state.seen

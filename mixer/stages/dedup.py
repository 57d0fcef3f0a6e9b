"""DEDUP: which prepared documents are in the mix, source by source in canonical order, over signatures only.

Decided anew after every round: a source that got more units can only add documents behind its earlier ones, but later
sources must then be judged against them too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.stages.dedup_index import Index, index
from gpts_data.mixer.stages.prepare import Columns, document_columns
from gpts_data.mixer.stages.unit_texts import SimilarTexts, Texts
from gpts_data.pipelines.decontaminate.index import BoilerplateGuard
from gpts_data.pipelines.dedup.greedy import EXCLUDED, FIRST_DUPLICATE, OVER_BUDGET, DedupState
from gpts_data.pipelines.dedup.signatures import REASONS, Dedup
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.tokenizer.encode import Encoder

OVER_BUDGET_REASON = "over_budget"  # read beyond the last document that the source's budget needed
CONTAMINATED_REASON = "contaminated"  # contains a benchmark's question


@dataclass(frozen=True)
class DedupedUnit:
    """One unit after dedup: a verdict per document, and its place in the source's stream of surviving tokens."""

    path: AnyPath
    name: str
    codes: NDArray[np.uint8]
    start: int
    tokens: int
    matched_ngrams: NDArray[np.uint32]
    """Of each contaminated document, in order, the n-gram that condemned it."""
    first: int
    """The ordinal of its first document among all of the build, in canonical order."""
    duplicate_of: NDArray[np.uint32]
    """Of each duplicate, in order, the ordinal of the document of the mix that it repeats."""

    @property
    def stop(self) -> int:
        return self.start + self.tokens

    def dropped(self) -> Counter[str]:
        counts = np.bincount(self.codes, minlength=FIRST_DUPLICATE + len(REASONS)).tolist()
        duplicates = dict(zip(REASONS, counts[FIRST_DUPLICATE:], strict=True))
        return +Counter({**duplicates, OVER_BUDGET_REASON: counts[OVER_BUDGET], CONTAMINATED_REASON: counts[EXCLUDED]})

    def count(self, code: int) -> int:
        return int((self.codes == code).sum())


@dataclass(frozen=True)
class PreparedUnit:
    path: AnyPath
    name: str
    run: AnyPath
    """Its keys, sorted."""
    n_keys: int


def dedup(
    sources: Sequence[Sequence[PreparedUnit]],
    dedup: Dedup,
    needed: Sequence[int],
    fraction: float,
    guard: BoilerplateGuard,
    coder: Encoder,
    folder: AnyPath,
    engine: Engine,
) -> list[list[DedupedUnit]]:
    """Judge all documents prepared so far. `needed`: training tokens per source; `fraction`: held out for validation;
    `guard`: a new one, that has seen nothing; `coder`: of the units' ids; `folder`: for the index."""
    units = [unit for source in sources for unit in source]
    limit = np.uint64(min(int(fraction * 2**64), 2**64 - 1))
    with index([unit.run for unit in units], sum(unit.n_keys for unit in units), folder, engine) as found:
        judge = _DedupWalk(found, DedupState(found.n_groups, dedup.n_keys), guard, limit, Texts(coder), dedup)
        return [judge.source(units, budget) for units, budget in zip(sources, needed, strict=True)]


class _DedupWalk:
    """Walks over all units in canonical order, one after the other."""

    def __init__(
        self, found: Index, kept: DedupState, guard: BoilerplateGuard, limit: np.uint64, texts: Texts, dedup: Dedup
    ) -> None:
        self._index, self._kept, self._guard, self._limit, self._texts = found, kept, guard, limit, texts
        minhash = dedup.minhash
        self._similar = SimilarTexts(texts, minhash.ngrams, minhash.jaccard) if minhash and minhash.jaccard else None
        self._number = 0

    def source(self, units: Sequence[PreparedUnit], needed: int) -> list[DedupedUnit]:
        decided: list[DedupedUnit] = []
        folder = units[0].path if units else Path()
        for unit, columns in zip(units, read_all(document_columns, [unit.path for unit in units], folder), strict=True):
            decided.append(self._unit(unit, columns, decided[-1].stop if decided else 0, needed))
        return decided

    def _unit(self, unit: PreparedUnit, columns: Columns, start: int, needed: int) -> DedupedUnit:
        tokens, draws, matches = columns
        shared = self._index.of(self._number)
        self._number += 1
        first, found = self._kept.seen, self._guard.judge(matches)
        self._texts.add(unit.path, first)
        budget = max(needed - start, 0)
        verdicts = self._kept.decide(shared, tokens, draws < self._limit, found >= 0, budget, self._similar)
        self._guard.undo(matches, verdicts.codes == OVER_BUDGET)
        witnesses = found[verdicts.codes == EXCLUDED].astype(np.uint32)
        return DedupedUnit(
            unit.path, unit.name, verdicts.codes, start, verdicts.tokens, witnesses, first, verdicts.duplicate_of
        )


def overlap(decided: Sequence[Sequence[DedupedUnit]]) -> list[list[int]]:
    """Per source the duplicates by the source of the kept document that each repeats; rows and columns in recipe order.

    A source without documents has no twins.
    """
    ends = np.cumsum([sum(len(unit.codes) for unit in units) for units in decided])
    return [
        np.bincount(
            np.searchsorted(ends, np.concatenate([[], *(unit.duplicate_of for unit in units)]), side="right"),
            minlength=len(decided),
        ).tolist()
        for units in decided
    ]


def surviving_tokens(decided: Sequence[DedupedUnit]) -> int:
    """Training tokens of a source so far."""
    return decided[-1].stop if decided else 0

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

from gpts_data.mixer.prepare import batch_keys, unit_batches
from gpts_data.pipelines.decontaminate import Guard
from gpts_data.pipelines.dedup import EXCLUDED, FIRST_DUPLICATE, OVER_BUDGET, Kept
from gpts_data.pipelines.signatures import REASONS

OVER_BUDGET_REASON = "over_budget"  # read beyond the last document that the source's budget needed
CONTAMINATED_REASON = "contaminated"  # contains a benchmark's question


@dataclass(frozen=True)
class Decided:
    """One unit after dedup: a verdict per document, and its place in the source's stream of surviving tokens."""

    path: Path
    name: str
    codes: NDArray[np.uint8]
    start: int
    tokens: int
    witnesses: NDArray[np.uint32]
    """Of each contaminated document, in order, the n-gram that condemned it."""

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
    path: Path
    name: str


def decide(
    sources: Sequence[Sequence[PreparedUnit]], needed: Sequence[int], fraction: float, guard: Guard
) -> list[list[Decided]]:
    """Judge all documents prepared so far. `needed`: training tokens per source; `fraction`: held out for validation;
    `guard`: a new one, that has seen nothing."""
    kept = Kept()
    limit = np.uint64(min(int(fraction * 2**64), 2**64 - 1))
    return [_decide_source(kept, guard, units, budget, limit) for units, budget in zip(sources, needed, strict=True)]


def _decide_source(
    kept: Kept, guard: Guard, units: Sequence[PreparedUnit], needed: int, limit: np.uint64
) -> list[Decided]:
    decided: list[Decided] = []
    start = 0
    for unit in units:
        codes, witnesses = [np.empty(0, np.uint8)], [np.empty(0, np.uint32)]
        taken = 0
        for batch in unit_batches(unit.path):
            held_out = batch.column("draw").to_numpy() < limit
            tokens = batch.column("tokens").to_numpy()
            found = guard.judge(batch.column("matches"))
            budget = max(needed - start - taken, 0)
            verdicts = kept.decide(batch_keys(batch), tokens, held_out, budget, found >= 0)
            guard.forget(batch.column("matches"), verdicts.codes == OVER_BUDGET)
            codes.append(verdicts.codes)
            witnesses.append(found[verdicts.codes == EXCLUDED].astype(np.uint32))
            taken += verdicts.tokens
        decided.append(Decided(unit.path, unit.name, np.concatenate(codes), start, taken, np.concatenate(witnesses)))
        start += taken
    return decided


def survivors(decided: Sequence[Decided]) -> int:
    """Training tokens of a source so far."""
    return decided[-1].stop if decided else 0

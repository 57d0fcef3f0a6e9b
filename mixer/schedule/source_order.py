"""Which source fills each position of the training order, decided without randomness.

Guarantee: after every prefix of p positions, the count of each source is less than one window away from its weight's
share of p *and* from its final share of p. After all positions it is exactly the largest-remainder share.

Rule: window j (from 0) of a source with share s of each position may come no earlier than the first position p with s p
> j and no later than the first with s p >= j + 1 (positions from 1); outside of that span the source's count would be a
whole window off. Of the windows that may come at a position, the one with the earliest deadline does; of equal
deadlines, that of the earlier source. Sequences within quota bounds are found by earliest deadline first (Steiner and
Yeomans, Management Science 39, 1993); Tijdeman's chairman assignment (Discrete Mathematics 32, 1980) is the same rule
with the span narrowed by 1/(2(n-1)) at each end.

The span used here is the intersection of two: one for the exact weight, one for the final share, which rounding moves
up to one window away from it. Tijdeman's rule on the final shares alone stays within 0.75 windows of those, but at
55/30/15 and 48,828 windows it comes 1.25 windows away from the weights. For some recipes with four or more sources (650
of 1,376,373 random ones) no order satisfies both spans. Those keep to the final shares alone, for which Tijdeman proves
that an order exists; their distance from the weights is then larger by the rounding.

Weights may change from stage to stage (training_stages.py). Tijdeman's theorem is stated for shares that differ at each
position, so an order within one window of the cumulative shares exists, and earliest deadline first finds it: in the
rule above, the cumulative share takes the place of s p. The second span is that of the source's windows in the stage.
These are whole numbers, so each stage has exactly its windows of each source and can be ordered by itself; what
rounding has left of the cumulative share at its beginning (`owed`, less than one window) moves the first span there. A
stage in which no order satisfies both spans keeps to the cumulative shares and its windows, but does not spread these
evenly (100 of 116,244 random plans of 2 to 7 sources and 1 to 5 stages have one). Where even that is impossible, it
keeps to its own windows alone, and comes less than two windows away from the cumulative share (22 of these plans; at
most 1.70).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.schedule.training_stages import TrainingStage
from gpts_data.pipelines.errors import GptsDataError, RecipeError
from gpts_data.pipelines.kernel import inner_kernel, kernel

MAX_WINDOWS = 3_000_000_000  # (j + 1) * windows must stay below 2**63


@dataclass(frozen=True)
class StageOrder:
    """Gives the source at any position of one stage; positions count from 0 at its first window."""

    weights: tuple[int, ...]
    """Weights of the sources as whole numbers; 0 for a source that is absent."""
    shares: tuple[int, ...]
    """Windows of each source in the stage."""
    owed: tuple[tuple[int, int], ...]
    """By source, its cumulative share minus its windows before the stage, times the sum of the weights: rounded down
    and up. Above -1 and below 1 window."""
    by_weight: bool = True
    """Whether each source stays within one window of its cumulative share."""
    by_share: bool = True
    """Whether each source stays within one window of its `shares`, spread evenly over the stage."""

    def __post_init__(self) -> None:
        if self.windows > MAX_WINDOWS:
            raise RecipeError(f"{self.windows:,} windows; at most {MAX_WINDOWS:,} can be scheduled exactly")

    @property
    def windows(self) -> int:
        """Windows of the stage."""
        return sum(self.shares)

    def sources(self, start: int, stop: int, counts: Sequence[int]) -> NDArray[np.uint8]:
        """The index of the source at each position from `start` to `stop`: uint8, shape (stop - start,).

        `counts` are the windows of each source in the stage before `start`. Raises `NoOrderError` when no order keeps
        all bounds.
        """
        order = np.empty(stop - start, dtype=np.uint8)
        weights, shares, owed = (np.array(values, np.int64) for values in (self.weights, self.shares, self.owed))
        bounds = self.by_weight, self.by_share
        spans = np.empty((len(weights), 2), np.int64)
        if not _fill(weights, shares, owed, bounds, start, np.array(counts, np.int64), spans, order):
            raise NoOrderError(f"no order of {self} is within one window of both weights and shares")
        return order


@dataclass(frozen=True)
class SourceOrder:
    """Gives the source at any position of the training order; positions count from 0."""

    stages: tuple[StageOrder, ...]

    @property
    def windows(self) -> int:
        """Windows of the training order."""
        return sum(stage.windows for stage in self.stages)

    def sources(self, start: int, stop: int, counts: Sequence[int]) -> NDArray[np.uint8]:
        """The index of the source at each position from `start` to `stop`: uint8, shape (stop - start,).

        `counts` are the windows of each source before `start`. Raises `NoOrderError` when no order keeps all bounds.
        """
        parts = [np.empty(0, np.uint8)]
        stage_start, before = 0, np.zeros(len(counts), np.int64)
        for stage in self.stages:
            first, last = max(start, stage_start), min(stop, stage_start + stage.windows)
            if first < last:
                in_stage = np.array(counts, np.int64) - before if first == start else np.zeros(len(counts), np.int64)
                parts.append(stage.sources(first - stage_start, last - stage_start, in_stage.tolist()))
            stage_start, before = stage_start + stage.windows, before + stage.shares
        return np.concatenate(parts)

    def counts(self, step: int) -> NDArray[np.int64]:
        """Windows of each source before position 0, step, 2 * step, ... and at the end: int64, (parts + 1, sources)."""
        rows = [np.zeros(len(self.stages[0].shares), dtype=np.int64)]
        for start in range(0, self.windows, step):
            order = self.sources(start, min(start + step, self.windows), rows[-1].tolist())
            rows.append(rows[-1] + np.bincount(order, minlength=len(rows[0])))
        return np.array(rows)


def find_source_order(stages: Sequence[TrainingStage]) -> SourceOrder:
    """The source order of these stages, each by the first of the bounds in the module's docstring that has an order."""
    owed = [Fraction(0)] * len(stages[0].weights)  # windows
    orders = []
    for stage in stages:
        total = sum(stage.weights)
        scaled = [windows * total for windows in owed]
        bounds = StageOrder(stage.weights, stage.windows, tuple((floor(x), ceil(x)) for x in scaled))
        attempts = [bounds, replace(bounds, by_share=False), replace(bounds, by_weight=False)]
        if not stage.fits_64_bits:
            del attempts[:2]
        elif len(stages) == 1:
            del attempts[1]  # as mixes without stages always were
        orders.append(next(attempt for attempt in attempts if _has_order(attempt)))
        exact = [Fraction(stage.length * weight, total) for weight in stage.weights]
        owed = [x + share - windows for x, share, windows in zip(owed, exact, stage.windows, strict=True)]
    return SourceOrder(tuple(orders))


def _has_order(stage: StageOrder) -> bool:
    try:
        SourceOrder((stage,)).counts(1 << 20)
    except NoOrderError:
        return False
    return True


class NoOrderError(GptsDataError):
    """No order of the sources keeps each of them in its span."""


@kernel
def _fill(
    weights: NDArray[np.int64],
    shares: NDArray[np.int64],
    owed: NDArray[np.int64],
    bounds: tuple[bool, bool],
    start: int,
    counts: NDArray[np.int64],
    spans: NDArray[np.int64],
    order: NDArray[np.uint8],
) -> bool:
    """Fill `order` and advance `counts`. False at a position where no source may come, or one comes too late.

    `spans` is scratch space for the span of the next window of each source: int64, shape (sources, 2).
    """
    n, total, windows = len(weights), 0, 0
    release, deadline = spans[:, 0], spans[:, 1]
    for i in range(n):
        total += weights[i]
        windows += shares[i]
    for i in range(n):
        if counts[i] < shares[i]:
            release[i], deadline[i] = _span(counts[i], weights[i], total, owed[i], shares[i], windows, bounds)
    for k in range(len(order)):
        p = start + k + 1
        best = -1
        for i in range(n):
            if counts[i] < shares[i] and release[i] <= p and (best < 0 or deadline[i] < deadline[best]):
                best = i
        if best < 0 or deadline[best] < p:
            return False
        order[k] = best
        counts[best] += 1
        if counts[best] < shares[best]:
            release[best], deadline[best] = _span(
                counts[best], weights[best], total, owed[best], shares[best], windows, bounds
            )
    return True


@inner_kernel
def _span(
    j: int,
    weight: int,
    total: int,
    owed: NDArray[np.int64],
    share: int,
    windows: int,
    bounds: tuple[bool, bool],
) -> tuple[int, int]:
    """First and last position in the stage, counted from 1, where window j of a source may come."""
    by_weight, by_share = bounds
    release, deadline = 1, windows
    if by_weight:
        release = max(release, (j * total - owed[1]) // weight + 1)
        deadline = min(deadline, -(-((j + 1) * total - owed[0]) // weight))
    if by_share:
        release = max(release, j * windows // share + 1)
        deadline = min(deadline, -(-(j + 1) * windows // share))
    return release, deadline

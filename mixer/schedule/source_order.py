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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import GptsDataError, RecipeError
from gpts_data.pipelines.kernel import kernel

MAX_WINDOWS = 3_000_000_000  # (j + 1) * windows must stay below 2**63
MAX_PRODUCT = 2**63 - 1  # of (windows + 1) * sum of the weights, for the same reason


@dataclass(frozen=True)
class SourceOrder:
    """Gives the source at any position of the training order; positions count from 0."""

    weights: tuple[int, ...]
    """Weights of the sources as whole numbers."""
    shares: tuple[int, ...]
    """Windows of each source in the whole training order."""

    def __post_init__(self) -> None:
        if self.windows > MAX_WINDOWS:
            raise RecipeError(f"{self.windows:,} windows; at most {MAX_WINDOWS:,} can be scheduled exactly")

    @property
    def windows(self) -> int:
        """Windows of the training order."""
        return sum(self.shares)

    def sources(self, start: int, stop: int, counts: Sequence[int]) -> NDArray[np.uint8]:
        """The index of the source at each position from `start` to `stop`: uint8, shape (stop - start,).

        `counts` are the windows of each source before `start`. Raises `NoOrderError` when no order keeps all bounds.
        """
        order = np.empty(stop - start, dtype=np.uint8)
        state = np.array(counts, dtype=np.int64)
        if not _fill(np.array(self.weights, np.int64), np.array(self.shares, np.int64), start, state, order):
            raise NoOrderError(f"no order of {self} is within one window of both weights and shares")
        return order

    def counts(self, step: int) -> NDArray[np.int64]:
        """Windows of each source before position 0, step, 2 * step, ... and at the end: int64, (parts + 1, sources)."""
        rows = [np.zeros(len(self.shares), dtype=np.int64)]
        for start in range(0, self.windows, step):
            order = self.sources(start, min(start + step, self.windows), rows[-1].tolist())
            rows.append(rows[-1] + np.bincount(order, minlength=len(self.shares)))
        return np.array(rows)


def find_source_order(weights: Sequence[int], shares: Sequence[int]) -> SourceOrder:
    """The source order for these weights and final shares; for the final shares alone where no order keeps to both."""
    both = SourceOrder(tuple(weights), tuple(shares))
    try:
        both.counts(1 << 20)
    except NoOrderError:
        return SourceOrder(both.shares, both.shares)
    return both


class NoOrderError(GptsDataError):
    """No order of the sources keeps each of them in its span."""


@kernel
def _fill(
    weights: NDArray[np.int64],
    shares: NDArray[np.int64],
    start: int,
    counts: NDArray[np.int64],
    order: NDArray[np.uint8],
) -> bool:
    """Fill `order` and advance `counts`. False at a position where no source may come, or one comes too late."""
    total, windows = weights.sum(), shares.sum()
    n = len(weights)
    release, deadline = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        release[i], deadline[i] = _span(counts[i], weights[i], total, shares[i], windows)
    for k in range(len(order)):
        p = start + k + 1
        best = -1
        for i in range(n):
            if release[i] <= p and counts[i] < shares[i] and (best < 0 or deadline[i] < deadline[best]):
                best = i
        if best < 0 or deadline[best] < p:
            return False
        order[k] = best
        counts[best] += 1
        release[best], deadline[best] = _span(counts[best], weights[best], total, shares[best], windows)
    return True


@kernel
def _span(j: int, weight: int, total: int, share: int, windows: int) -> tuple[int, int]:
    """First and last position, counted from 1, where window j of a source may come."""
    release = max(j * total // weight, j * windows // share) + 1
    deadline = min(-(-(j + 1) * total // weight), -(-(j + 1) * windows // share))
    return release, deadline

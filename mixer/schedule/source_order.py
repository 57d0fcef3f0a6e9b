"""Which source fills each position of the training order, decided without randomness.

Promise: after every prefix of p positions, each source's count is less than one window away from its weight's share of
p *and* from its final share of p, and after all positions it is exactly the largest-remainder share.

Rule: copy j (from 0) of a source with share s per position may stand no earlier than the first position p with s p > j
and no later than the first with s p >= j + 1 (1-based): outside that span its count would be a whole window off. Of
the copies that may stand at a position, the one with the earliest deadline does; of equal deadlines, the earlier
source. Earliest deadline first is how quota-respecting sequences are found (Steiner and Yeomans, Management Science
39, 1993); Tijdeman's chairman assignment (Discrete Mathematics 32, 1980) is the same with the span narrowed by
1/(2(n-1)) at each end. Here the span is the intersection of two: for the exact weight, and for the final share, which
rounding moves up to one window away from it. Tijdeman's rule on the final shares alone comes within 0.75 windows of
those, but at 55/30/15 and 48,828 windows it strays 1.25 from the weights. Both spans at once are too much for some
recipes of four and more sources (650 of 1,376,373 random ones): those keep to the final shares alone, for which
Tijdeman proves that an order exists, and stray from their weights by the rounding on top.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import GptsDataError, RecipeError
from gpts_data.pipelines.kernel import kernel

MAX_WINDOWS = 3_000_000_000  # (j + 1) * windows must stay below 2**63


@dataclass(frozen=True)
class SourceOrder:
    """`weights` are whole numbers, `shares` the final windows per source; positions count from 0."""

    weights: tuple[int, ...]
    shares: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.windows > MAX_WINDOWS:
            raise RecipeError(f"{self.windows:,} windows; at most {MAX_WINDOWS:,} can be scheduled exactly")

    @property
    def windows(self) -> int:
        return sum(self.shares)

    def sources(self, start: int, stop: int, counts: Sequence[int]) -> NDArray[np.uint8]:
        """The source at each position of `start..stop`; `counts` are the windows per source before `start`. uint8."""
        order = np.empty(stop - start, dtype=np.uint8)
        state = np.array(counts, dtype=np.int64)
        if not _fill(np.array(self.weights, np.int64), np.array(self.shares, np.int64), start, state, order):
            raise NoOrderError(f"no order of {self} is within one window of both weights and shares")
        return order

    def counts(self, step: int) -> NDArray[np.int64]:
        """Windows per source before position 0, step, 2 step, ... and at the end: int64, shape (parts + 1, sources)."""
        rows = [np.zeros(len(self.shares), dtype=np.int64)]
        for start in range(0, self.windows, step):
            order = self.sources(start, min(start + step, self.windows), rows[-1].tolist())
            rows.append(rows[-1] + np.bincount(order, minlength=len(self.shares)))
        return np.array(rows)


def find_source_order(weights: Sequence[int], shares: Sequence[int]) -> SourceOrder:
    """The schedule that keeps to the weights and the final shares, or to the final shares where both cannot be had."""
    both = SourceOrder(tuple(weights), tuple(shares))
    try:
        both.counts(1 << 20)
    except NoOrderError:
        return SourceOrder(both.shares, both.shares)
    return both


class NoOrderError(GptsDataError):
    """The spans of some sources cannot all be met."""


@kernel
def _fill(weights, shares, start, counts, order):  # type: ignore[no-untyped-def]
    """Fill `order`, advancing `counts`; False at a position where no copy may stand or one is late."""
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
def _span(j, weight, total, share, windows):  # type: ignore[no-untyped-def]
    """First and last 1-based position where copy j of a source may stand."""
    release = max(j * total // weight, j * windows // share) + 1
    deadline = min(-(-(j + 1) * total // weight), -(-(j + 1) * windows // share))
    return release, deadline

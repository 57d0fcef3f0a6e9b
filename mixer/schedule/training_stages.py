"""Stages of training, each with its own weights: how many windows of each source every stage has.

The exact share of a source in a stage is its weight's share of the stage's windows; its cumulative share at a boundary
is the sum of its exact shares up to there. Both are fractions, and windows are whole. `divide` finds whole numbers such
that

- each stage has its number of windows;
- the windows of a source in a stage are its exact share, rounded up or down: 0 where it is absent;
- its windows up to each boundary, and at the end, are its cumulative share there, rounded up or down.

Such numbers exist for any weights. The windows of a source in one stage, and those up to a boundary, form a family of
nested or disjoint sets, and so do the stages; the matrix of two such families is totally unimodular, so a system of
bounds that fractions satisfy is also satisfied by whole numbers (Hoffman and Kruskal, 1956). Among them, cumulative
shares are rounded by largest remainder: a source is rounded up when the sources with larger remainders leave that
possible; first the totals at the end of training, then at each boundary in turn. With one stage this is the
largest-remainder method (budget.share).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import lcm

Arc = tuple[str, int, int]  # kind, stage, source
Node = tuple[int, int]  # stage, source; source -1: the stage itself


@dataclass(frozen=True)
class TrainingStage:
    """A stage of the training order."""

    start: int
    """Position of its first window."""
    stop: int
    """Position after its last window."""
    weights: tuple[int, ...]
    """Weight of each source as a whole number; 0 for a source that is absent."""
    windows: tuple[int, ...]
    """Windows of each source in this stage."""

    @property
    def length(self) -> int:
        """Windows of the stage."""
        return self.stop - self.start

    @property
    def fits_64_bits(self) -> bool:
        """Whether an order that is exact for the weights can be computed in 64-bit numbers (source_order.py)."""
        return (self.length + 2) * sum(self.weights) < 2**63


def training_stages(ends: Sequence[int], weights: Sequence[Sequence[int]]) -> tuple[TrainingStage, ...]:
    """The stages that end at the positions `ends`, with these weights of each source in each stage."""
    starts = [0, *ends[:-1]]
    windows = divide([end - start for start, end in zip(starts, ends, strict=True)], weights)
    return tuple(
        TrainingStage(start, end, tuple(stage_weights), counts)
        for start, end, stage_weights, counts in zip(starts, ends, weights, windows, strict=True)
    )


def divide(lengths: Sequence[int], weights: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The windows of each source in each stage; `lengths` are the windows of the stages, all above 0."""
    flow = _Flow(lengths, weights)
    n_stages, n_sources = len(lengths), len(weights[0])
    for stage in (n_stages - 1, *range(n_stages - 1)):
        arcs: list[Arc] = [("up to", stage, source) for source in range(n_sources)]
        for arc in sorted(arcs, key=lambda arc: -(flow.exact[arc] % flow.unit)):  # of equal ones, the earlier source
            flow.decide(arc)
    return [
        tuple(flow.amount["in", stage, source] // flow.unit for source in range(n_sources)) for stage in range(n_stages)
    ]


class _Flow:
    """The shares as a flow of windows, `unit` of it to a window, so that all amounts are whole numbers.

    From the node of a stage an arc ("in", stage, source) leads to the node of the source at the stage's end. From there
    ("up to", stage, source) carries what the source has so far to its node at the end of the next stage, and after the
    last stage to the node (-1, -1). Each amount may move between the whole windows below and above the exact share.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[Sequence[int]]) -> None:
        totals = [sum(stage_weights) for stage_weights in weights]
        self.unit = lcm(*totals)
        self.amount: dict[Arc, int] = {}
        self.ends: dict[Arc, tuple[Node, Node]] = {}
        self.arcs: dict[Node, list[Arc]] = {}
        for source in range(len(weights[0])):
            inflows = [
                length * stage_weights[source] * (self.unit // total)
                for length, stage_weights, total in zip(lengths, weights, totals, strict=True)
            ]
            for stage, (inflow, so_far) in enumerate(zip(inflows, accumulate(inflows), strict=True)):
                here, after = (stage, source), (stage + 1, source) if stage + 1 < len(lengths) else (-1, -1)
                self._add(("in", stage, source), (stage, -1), here, inflow)
                self._add(("up to", stage, source), here, after, so_far)
        self.exact = dict(self.amount)
        self.low = {arc: amount // self.unit * self.unit for arc, amount in self.amount.items()}
        self.high = {arc: -(-amount // self.unit) * self.unit for arc, amount in self.amount.items()}

    def _add(self, arc: Arc, start: Node, end: Node, amount: int) -> None:
        self.amount[arc], self.ends[arc] = amount, (start, end)
        self.arcs.setdefault(start, []).append(arc)
        self.arcs.setdefault(end, []).append(arc)

    def decide(self, arc: Arc) -> None:
        """Fix an arc at its upper bound if the flow can be changed so, else at its lower bound."""
        low, high, amount = self.low[arc], self.high[arc], self.amount[arc]
        start, end = self.ends[arc]
        self.low[arc] = self.high[arc] = amount  # so that the changes go around it
        amount += self._push(end, start, high - amount)
        if amount < high:
            amount -= self._push(start, end, amount - low)
        self.low[arc] = self.high[arc] = self.amount[arc] = amount

    def _push(self, start: Node, end: Node, limit: int) -> int:
        """Send up to `limit` from one node to another, by shortest paths; return how much could be sent."""
        sent = 0
        while sent < limit and (path := self._path(start, end)):
            step = min(limit - sent, *(self._room(arc, sign) for arc, sign in path))
            for arc, sign in path:
                self.amount[arc] += sign * step
            sent += step
        return sent

    def _path(self, start: Node, end: Node) -> list[tuple[Arc, int]]:
        """The arcs from one node to another that have room, each with 1, or -1 against its direction; [] if none."""
        reached: dict[Node, list[tuple[Arc, int]]] = {start: []}
        queue = [start]
        for node in queue:
            for arc in self.arcs[node]:
                sign = 1 if self.ends[arc][0] == node else -1
                other = self.ends[arc][sign == 1]
                if other not in reached and self._room(arc, sign):
                    reached[other] = [*reached[node], (arc, sign)]
                    queue.append(other)
        return reached.get(end, [])

    def _room(self, arc: Arc, sign: int) -> int:
        return self.high[arc] - self.amount[arc] if sign == 1 else self.amount[arc] - self.low[arc]

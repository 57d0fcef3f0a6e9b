"""The windows of each source along the training order, counted from the sidecars of the shards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.mixer.recipe_stages import cumulative_shares

FIRST_POSITIONS = 100  # positions at which the shares of the sources are compared: all of the first hundred,
SPREAD_POSITIONS = 400  # and so many, evenly spaced, of the rest
BOUND_PARTS = 120  # of the training order, for the ranges of the distances from the targets


@dataclass(frozen=True)
class Bounds:
    """The distance of each source from its target share, in windows, over all positions of the training order."""

    edges: NDArray[np.int64]
    """Ends of parts of the training order, shape (parts + 1,)."""
    low: NDArray[np.float64]
    """The least distance in each part, shape (parts, sources)."""
    high: NDArray[np.float64]
    """The greatest distance in each part, shape (parts, sources)."""

    @property
    def greatest(self) -> list[float]:
        """For each source the greatest distance anywhere, ahead or behind."""
        greatest: list[float] = np.maximum(-self.low, self.high).max(axis=0).tolist()
        return greatest


def count_sources(mix: Mix) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions of the training order, and how many windows of each source the sidecars have before them.

    Shapes: (positions,) and (positions, sources).
    """
    spread = np.linspace(1, mix.windows, SPREAD_POSITIONS, dtype=np.int64)
    ends = [stage.stop for stage in mix.stages]
    positions = np.unique(np.concatenate([np.arange(1, min(FIRST_POSITIONS, mix.windows) + 1), spread, ends]))
    counts = np.zeros((len(positions), len(mix.sources)), dtype=np.int64)
    before, start = np.zeros(len(mix.sources), dtype=np.int64), 0
    for number, shard in enumerate(mix.manifest["shards"]):
        sources = sidecar(mix, number)["source"]
        for i in np.flatnonzero((positions > start) & (positions <= start + len(sources))).tolist():
            counts[i] = before + np.bincount(sources[: positions[i] - start], minlength=len(before))
        before += np.array([shard["sources"][name] for name in mix.sources])
        start += len(sources)
    return positions, counts


def measure_bounds(mix: Mix) -> Bounds:
    """Return how far each source is from its target share after every window of the training order."""
    edges = np.linspace(0, mix.windows, min(BOUND_PARTS, mix.windows) + 1).astype(np.int64)
    shape = len(edges) - 1, len(mix.sources)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    before, start = np.zeros(len(mix.sources), dtype=np.int64), 0
    for number in range(len(mix.shards)):
        sources = sidecar(mix, number)["source"]
        positions = np.arange(start + 1, start + len(sources) + 1)
        counts = before + np.cumsum(sources[:, None] == np.arange(len(mix.sources)), axis=0)
        ahead = counts - cumulative_shares(mix.stages, positions)
        parts, begins = np.unique(np.searchsorted(edges, positions) - 1, return_index=True)
        low[parts] = np.minimum(low[parts], np.minimum.reduceat(ahead, begins))
        high[parts] = np.maximum(high[parts], np.maximum.reduceat(ahead, begins))
        before, start = counts[-1], start + len(sources)
    return Bounds(edges, low, high)

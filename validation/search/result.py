"""The measurements of the proxy runs of a search, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.confirm import CONFIDENCE, Confirmation
from gpts_data.validation.search.design import ProxyRun
from gpts_data.validation.search.proposal import Proposal, propose


@dataclass(frozen=True)
class Measurements:
    """The losses of all proxy runs, and what they are for."""

    tokens: int
    """Training tokens of the mix whose weights are searched."""
    parameters: int
    """Parameters of the proxy model."""
    sources: tuple[str, ...]
    supply: tuple[int, ...]
    """Tokens of each source that a mix can have without repetition."""
    recipe: Floats
    """The recipe's weights, shape (sources,), with a sum of 1."""
    caps: Floats
    """The largest weight of each source, from `weight_caps`."""
    least: float
    """The least weight of a source, from `least_weight`."""
    targets: tuple[str, ...]
    importance: tuple[float, ...]
    """The weight of each target in the mean that is minimised, above 0."""
    runs: tuple[ProxyRun, ...]
    horizons: tuple[int, ...]
    """Training tokens after which the runs were measured, ascending."""
    losses: Floats
    """Bits per byte, shape (horizons, runs, targets)."""

    @property
    def epochs(self) -> Floats:
        """The number of times that the mix repeats each source per unit of weight: a weight w takes w x epochs."""
        return self.tokens / np.maximum(self.supply, 1)

    @property
    def mixtures(self) -> Floats:
        """The weights of the runs, shape (runs, sources)."""
        return np.array([run.weights for run in self.runs])


@dataclass(frozen=True)
class SearchResult:
    """The proposals of a search, one per horizon; the last one counts."""

    measurements: Measurements
    proposals: tuple[Proposal, ...]
    confirmation: Confirmation | None = None
    """Longer runs of the recipe's and the proposed weights, when they were asked for."""

    @property
    def proposal(self) -> Proposal:
        """The proposal of the longest runs."""
        return self.proposals[-1]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Sentences that say why the recipe's weights stay; empty when the proposed ones are accepted."""
        confirmation = self.confirmation
        if confirmation is None or confirmation.confirmed:
            return self.proposal.verdict.reasons
        return (
            *self.proposal.verdict.reasons,
            f"Longer runs did not confirm the proposal: with {confirmation.tokens:,} tokens its gain is "
            f"{confirmation.gain:.4f} bits per byte in the mean of {len(confirmation.gains)} pairs of runs with equal "
            f"seeds, which happens by chance with probability {confirmation.p_value:.2f}; expected "
            f"below {1 - CONFIDENCE:.2f}.",
        )

    @property
    def accepted(self) -> bool:
        """Whether the proposed weights should replace the recipe's."""
        return not self.reasons


def conclude(measurements: Measurements) -> SearchResult:
    """Fit the laws of each horizon and propose weights. Raises as `propose` does."""
    space = measurements.importance, measurements.recipe, measurements.caps, measurements.least
    proposals = tuple(propose(measurements.mixtures, losses, *space) for losses in measurements.losses)
    return SearchResult(measurements, proposals)

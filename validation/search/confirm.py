"""Whether the proposed weights are better than the recipe's in longer runs that no law was fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_rel

from gpts_data.validation.search.caps import Floats

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Confirmation:
    """Runs of the recipe's and of the proposed weights, in pairs with the same seed."""

    tokens: int
    """Training tokens of each run."""
    recipe_losses: Floats
    """Shape (seeds, targets), in the unit of the proxy runs' losses."""
    proposed_losses: Floats
    """Shape (seeds, targets), with the seeds in the same order."""
    gains: Floats
    """Weighted loss of the recipe's weights minus that of the proposed ones, shape (seeds,)."""
    p_value: float
    """Student's one-sided paired test: how likely such gains are when there is no difference."""

    @property
    def gain(self) -> float:
        """The mean gain over the seeds."""
        return float(self.gains.mean())

    @property
    def confirmed(self) -> bool:
        """Whether the gain is too large to be chance."""
        return self.p_value < 1 - CONFIDENCE


def compare(tokens: int, recipe_losses: Floats, proposed_losses: Floats, importance: Sequence[float]) -> Confirmation:
    """Compare runs in pairs; the arguments are the fields of `Confirmation`, and the importance of the targets.

    With three pairs a gain is confirmed when its mean is above 1.7 standard deviations of the gains.
    """
    recipe, proposed = (np.average(losses, axis=1, weights=importance) for losses in (recipe_losses, proposed_losses))
    gains = recipe - proposed
    p_value = float(ttest_rel(recipe, proposed, alternative="greater").pvalue) if np.ptp(gains) > 0 else 1.0
    return Confirmation(tokens, recipe_losses, proposed_losses, gains, p_value)

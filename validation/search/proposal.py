"""From the results of proxy runs to proposed weights and a verdict on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.validation.search.caps import UNITS, Floats, round_weights
from gpts_data.validation.search.gate import Verdict, judge, seed_noise
from gpts_data.validation.search.law import CrossValidation, Law, cross_validate, fit_law
from gpts_data.validation.search.optimum import best_weights, weighted_loss


@dataclass(frozen=True)
class Proposal:
    """Proposed weights, and the evidence for them."""

    weights: Floats
    """The weights with the best prediction, shape (sources,), as multiples of 1/UNITS. Whether they should be taken is
    in `verdict`."""
    laws: tuple[Law, ...]
    """One law per target."""
    checks: tuple[CrossValidation, ...]
    """The leave-one-out predictions of each law."""
    mean_check: CrossValidation
    """The same of the loss weighted over the targets."""
    recipe_loss: float
    """Predicted loss of the recipe's weights, weighted over the targets."""
    proposed_loss: float
    """The same of the proposed weights."""
    verdict: Verdict


def propose(
    mixtures: Floats,
    losses: Floats,
    importance: Sequence[float],
    recipe: Floats,
    caps: Floats,
    least: float = 1 / UNITS,
) -> Proposal:
    """Fit one law per target, find the best weights, and judge them.

    `mixtures`: weights of the runs, shape (runs, sources). `losses`: shape (runs, targets). `importance`: weight of
    each target in the mean that is minimised, above 0. `recipe`, `caps`, `least`: as of `best_weights`; `least` is a
    multiple of 1/UNITS. Raises `GptsDataError` when a loss is not a finite number.
    """
    if not np.isfinite(losses).all():
        run, target = np.argwhere(~np.isfinite(losses))[0].tolist()
        raise GptsDataError(
            f"run {run}: the loss on target {target} is {losses[run, target]}; expected a finite number"
        )
    laws = tuple(fit_law(mixtures, column) for column in losses.T)
    checks = tuple(cross_validate(mixtures, column, law) for column, law in zip(losses.T, laws, strict=True))
    mean_check = _weighted_mean(checks, importance)
    weights = round_weights(best_weights(laws, importance, recipe, caps, least), caps)
    recipe_loss, proposed_loss = weighted_loss(laws, importance, np.array([recipe, weights])).tolist()
    noise = seed_noise(mixtures, np.average(losses, axis=1, weights=importance))
    verdict = judge(mean_check.rank_correlation, recipe_loss - proposed_loss, noise)
    return Proposal(weights, laws, checks, mean_check, recipe_loss, proposed_loss, verdict)


def _weighted_mean(checks: Sequence[CrossValidation], importance: Sequence[float]) -> CrossValidation:
    """The predictions of the weighted mean of losses; all checks have the same mixtures in the same order."""
    measured = np.average([check.measured for check in checks], axis=0, weights=importance)
    predicted = np.average([check.predicted for check in checks], axis=0, weights=importance)
    return CrossValidation(checks[0].mixtures, measured, predicted)

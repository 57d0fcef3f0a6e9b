"""The log-linear mixture law: the loss on a target as a function of the mixture's weights.

    L(p) = c + exp(b + t . p),  c >= 0

`p` are the weights of the sources, which sum to 1; `t` tells how much each source changes the loss. The form is that
of Data Mixing Laws (Ye et al. 2024, arXiv 2403.16952); olmix fits the same with a Huber loss (arXiv 2602.12237). As the
weights sum to 1, adding a number to all of `t` and taking it from `b` changes nothing: `t` has mean 0.

For a given `c`, log(L - c) is linear in the parameters, so a grid over `c` with one linear regression each gives a
start that needs no randomness.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import spearmanr

from gpts_data.validation.search.caps import Floats

HUBER_DELTA = 0.02
"""Residuals above this count linearly instead of squared; olmix's default. In the unit of the losses."""
MAX_EXPONENT = 40.0  # keeps trial steps and predictions far from all runs finite: exp(40) is beyond every loss
TOLERANCE = 1e-5
"""A fit ends when a step lowers the loss by less than this part of it. With 1e-8 it takes 2.5 times as many steps on
RegMix's swarm, and its leave-one-out errors differ by 1% at most."""
GRID = np.geomspace(0.02, 20, 12)
"""Distances of the starting values of `c` below the smallest loss, in units of the losses' range."""
FAR = 3.0
"""Where a law predicts a loss that is so many times the range of the measured ones above or below them, the runs do not
determine it: with few runs, one exponent can grow without any of them to hold it."""


@dataclass(frozen=True)
class Law:
    """A fitted law. All parameters are in the unit of the losses, such as bits per byte, or its logarithm."""

    c: float
    """The loss that no mixture reaches; 0 or more."""
    b: float
    t: tuple[float, ...]
    """One coefficient per source, with mean 0; the source with the lowest one helps the target most."""

    def predict(self, mixtures: Floats) -> Floats:
        """The losses of mixtures: weights of shape (..., sources) give losses of shape (...)."""
        return np.asarray(self.c + _exp(self.b + mixtures @ np.array(self.t)), np.float64)

    def gradient(self, mixture: Floats) -> Floats:
        """The derivatives of the loss of one mixture with respect to its weights, shape (sources,)."""
        return np.asarray(_exp(self.b + mixture @ np.array(self.t)) * np.array(self.t), np.float64)


@dataclass(frozen=True)
class CrossValidation:
    """Return what a law predicts for each mixture when it is fitted to all others."""

    mixtures: Floats
    """The different mixtures, shape (mixtures, sources)."""
    measured: Floats
    """Mean loss of the runs of each mixture, shape (mixtures,)."""
    predicted: Floats
    """Predicted loss of each mixture, shape (mixtures,)."""

    @property
    def is_determined(self) -> NDArray[np.bool_]:
        """Return whether the runs of the other mixtures determine the prediction of each mixture, shape (mixtures,)."""
        return is_determined(self.predicted, self.measured)

    @property
    def rank_correlation(self) -> float:
        """Spearman's rank correlation of predicted and measured losses; 0 where it is undefined."""
        return rank_correlation(self.predicted, self.measured)

    @property
    def error(self) -> float:
        """Root mean square of the prediction errors, in the unit of the losses."""
        return float(np.sqrt(np.mean((self.predicted - self.measured) ** 2)))


def fit_law(mixtures: Floats, losses: Floats, start: Law | None = None) -> Law:
    """The law with the smallest Huber loss on measured losses.

    `mixtures`: weights, shape (runs, sources), of more runs than sources; each row sums to 1. `losses`: shape (runs,).
    `start`: a law near the solution; without it the best of a grid over `c` is taken.
    """
    if start is None:
        c, slopes = _grid_start(mixtures, losses)
    else:
        c, slopes = start.c, np.array(start.t) + start.b

    solution = least_squares(
        lambda parameters: _residuals(parameters, mixtures, losses)[0],
        np.r_[np.sqrt(max(c, 1e-6)), slopes],
        lambda parameters: _residuals(parameters, mixtures, losses)[1],
        method="lm",
        ftol=TOLERANCE,
    ).x
    b = float(solution[1:].mean())
    return Law(float(solution[0] ** 2), b, tuple((solution[1:] - b).tolist()))


def cross_validate(mixtures: Floats, losses: Floats, law: Law | None = None) -> CrossValidation:
    """Predict each mixture by a law fitted to the runs of all other mixtures.

    Runs that differ only in the seed have equal weights and are left out together: otherwise the others would tell the
    answer. Arguments as of `fit_law`; `law` is the one fitted to all runs, from which each fit starts.
    """
    law = law or fit_law(mixtures, losses)
    unique, group = np.unique(mixtures, axis=0, return_inverse=True)
    group = group.reshape(-1)
    measured = np.array([losses[group == i].mean() for i in range(len(unique))])
    predicted = np.array(
        [fit_law(mixtures[group != i], losses[group != i], law).predict(mixture) for i, mixture in enumerate(unique)]
    )
    return CrossValidation(unique, measured, predicted)


def is_determined(predicted: Floats, measured: Floats) -> NDArray[np.bool_]:
    """Return for each predicted loss whether it is near the measured ones (FAR): then the runs determine it."""
    low, high = measured.min(), measured.max()
    far = FAR * max(high - low, 1e-3)
    return np.asarray((predicted >= low - far) & (predicted <= high + far))


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation of two arrays of equal length; 0 where one of them is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)


def _residuals(parameters: Floats, mixtures: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Residuals whose squares sum to twice the Huber loss, shape (runs,), and their derivatives, (runs, parameters).

    The parameters are the square root of c, which keeps c at 0 or more, and b + t. A residual r beyond HUBER_DELTA
    becomes sqrt(HUBER_DELTA (2 |r| - HUBER_DELTA)) with the sign of r, so that a solver for squares, MINPACK's
    Levenberg-Marquardt, can be used. On RegMix's swarm a fit takes 3 ms of
    processor time, and 12 to 18 with scipy's own robust loss.
    """
    powers = _exp(mixtures @ parameters[1:])
    errors = parameters[0] ** 2 + powers - losses
    bent = np.sqrt(HUBER_DELTA * np.maximum(2 * np.abs(errors) - HUBER_DELTA, HUBER_DELTA))
    outside = np.abs(errors) > HUBER_DELTA
    slopes = np.where(outside, HUBER_DELTA / bent, 1.0)
    derivatives = np.column_stack([np.full(len(losses), 2 * parameters[0]), powers[:, None] * mixtures])
    return np.where(outside, np.sign(errors) * bent, errors), slopes[:, None] * derivatives


def _exp(exponents: Floats) -> Floats:
    return np.exp(np.minimum(exponents, MAX_EXPONENT))


def _grid_start(mixtures: Floats, losses: Floats) -> tuple[float, Floats]:
    """The best `c` of the grid, and b + t for it, by weighted linear regression of log(losses - c)."""
    lowest, spread = losses.min(), max(np.ptp(losses), 1e-9)
    best = (np.inf, 0.0, np.zeros(mixtures.shape[1]))
    for c in np.unique(np.maximum(lowest - spread * GRID, 0.0)).tolist():
        above = np.maximum(losses - c, 1e-9)
        # An error of log(L - c) is an error of L divided by L - c.
        slopes = np.linalg.lstsq(mixtures * above[:, None], np.log(above) * above, rcond=None)[0]
        errors = np.abs(c + _exp(mixtures @ slopes) - losses)
        huber = np.where(errors < HUBER_DELTA, errors**2 / 2, HUBER_DELTA * (errors - HUBER_DELTA / 2)).sum()
        best = min(best, (float(huber), c, slopes), key=lambda candidate: candidate[0])
    return best[1], best[2]

"""Which mixtures are tried: a few random ones around the recipe's weights that together tell most about the law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.search.caps import UNITS, Floats, round_weights

RUNS_PER_SOURCE = 5
LEAST_RUNS = 12
RECIPE_RUNS = 3
"""Runs of the recipe's own weights, which differ only in the seed: they measure the noise."""
CONCENTRATION = (4.0, 20.0)
"""Range of the Dirichlet distribution's concentration. RegMix (Liu et al. 2024, arXiv 2407.01492) has 0.1 to 5, whose
D-optimal mixtures lie in the corners. When the truth is not log-linear but a sum of a_i (p_i + e_i)^-x_i, so that a
little of a source helps much, mixtures nearer to the recipe lead to better weights: with 3 sources they missed the best
objective by .0008 bits per byte instead of .0021, in the mean of 40 planted truths. With log-linear ones both came
within .0001."""
CANDIDATES_PER_RUN = 60
LEAST_WEIGHT = 0.002  # smaller weights become 0, as in olmix: a proxy run hardly sees them
COARSEST_GRID = 20  # cells from 0 to a source's cap
CURVATURE = 1.0
"""Scale of the products of weights beside the weights in `features`: the law is curved. With 0 more mixtures lie in the
corners, and the predictions of fitted laws were 1.1 to 1.2 times as far off planted ones, of 2, 3 and 6 sources."""
RIDGE = 0.001


@dataclass(frozen=True)
class ProxyRun:
    """One training run of the proxy model."""

    name: str
    weights: tuple[float, ...]
    """Weights of the sources, in the order of the recipe, with a sum of 1."""
    seed: int
    """Seed of the model's parameters and of the order of windows; no two runs have the same."""


def mixture_count(sources: int, mixtures: int | None) -> int:
    """The number of mixtures to try: `mixtures`, or the larger of 12 and five per source.

    Raises `UsageError` when there is one source, or when the mixtures cannot determine a law of the sources.
    """
    if sources < 2:
        raise UsageError("the recipe has one source, so there are no weights to search; add a [[source]]")
    default = max(LEAST_RUNS, RUNS_PER_SOURCE * sources)
    count = default if mixtures is None else mixtures
    if count < sources + 2:
        raise UsageError(
            f"{count} mixtures cannot determine a law of {sources} sources, which has {sources + 1} parameters; "
            f"expected --runs {sources + 2} or more, better {default}"
        )
    return count


def design_runs(recipe: Floats, caps: Floats, seed: int, mixtures: int | None = None) -> list[ProxyRun]:
    """The runs of a search: three of the recipe's weights, then those of `design_mixtures`."""
    designed = design_mixtures(recipe, caps, seed, mixtures)
    rows = [("recipe", i, recipe) for i in range(RECIPE_RUNS)]
    rows += [("mixture", i, weights) for i, weights in enumerate(designed)]
    return [ProxyRun(f"{kind}-{i:03d}", tuple(row.tolist()), k) for k, (kind, i, row) in enumerate(rows)]


def design_mixtures(recipe: Floats, caps: Floats, seed: int, mixtures: int | None = None) -> Floats:
    """Different mixtures for proxy runs, shape (mixtures, sources); each sums to 1 and none is above `caps`.

    `recipe`: weights above 0, with a sum of 1 and none above its cap. `mixtures`: by default the larger of 12 and five
    per source. The same arguments give the same mixtures. Raises `UsageError` when there is nothing to choose.
    """
    count = mixture_count(len(recipe), mixtures)
    generator = np.random.default_rng(seed)
    candidates = _draw_candidates(recipe, caps, generator, count)
    if len(candidates) < count:
        raise UsageError(
            f"only {len(candidates)} different mixtures were found below the caps of {caps.round(4).tolist()}, "
            f"expected {count}; give the sources more files, allow more epochs, or ask for fewer runs"
        )
    return candidates[d_optimal(features(candidates), count)]


def features(mixtures: Floats) -> Floats:
    """Weights and, scaled by CURVATURE, their products in pairs: Scheffé's quadratic model of a mixture experiment."""
    first, second = np.triu_indices(mixtures.shape[1], 1)
    return np.column_stack([mixtures, CURVATURE * mixtures[:, first] * mixtures[:, second]])


def d_optimal(rows: Floats, count: int) -> list[int]:
    """Indices of `count` rows x for which det(RIDGE I + sum of x x') is large, in ascending order.

    Rows are added greedily, then exchanged as long as an exchange increases the determinant (Fedorov 1972). The ridge
    makes it the Bayesian criterion of DuMouchel and Jones (Technometrics 36, 1994), which allows more columns than
    rows.
    """
    chosen: list[int] = []
    for _ in range(count):
        leverage = _leverage(rows, chosen)
        leverage[chosen] = -np.inf
        chosen.append(int(leverage.argmax()))
    for _ in range(10):
        before = list(chosen)
        for place, old in enumerate(before):
            rest = chosen[:place] + chosen[place + 1 :]
            leverage = _leverage(rows, rest)
            leverage[rest] = -np.inf
            new = int(leverage.argmax())
            if leverage[new] > leverage[old] * (1 + 1e-9):
                chosen[place] = new
        if chosen == before:
            break
    return sorted(chosen)


def _leverage(rows: Floats, chosen: list[int]) -> Floats:
    """By how much, relatively, each row would increase the determinant of the chosen ones."""
    selected = rows[chosen]
    inverse = np.linalg.inv(RIDGE * np.eye(rows.shape[1]) + selected.T @ selected)
    return np.asarray(np.einsum("ij,jk,ik->i", rows, inverse, rows))


def _draw_candidates(recipe: Floats, caps: Floats, generator: np.random.Generator, least: int) -> Floats:
    """At least that many different mixtures from Dirichlet distributions around the recipe's weights, if there are.

    They are moved below the caps.
    """
    caps = np.floor(caps * UNITS + 1e-9) / UNITS
    mixtures = np.empty((0, len(recipe)))
    if caps.sum() < 1 - 1e-9:
        return mixtures
    low, high = np.log(CONCENTRATION)
    for _ in range(4):
        concentrations = np.exp(generator.uniform(low, high, least * CANDIDATES_PER_RUN))
        drawn = np.array([generator.dirichlet(recipe * concentration) for concentration in concentrations])
        # Not 0, so that such a source can still take what caps keep from the others.
        drawn = np.where(drawn < np.minimum(LEAST_WEIGHT, recipe / 2), 1e-9 * recipe, drawn)
        rows = [round_weights(row, caps) for row in drawn]
        mixtures = np.unique(np.vstack([mixtures, rows]), axis=0)
        if len(mixtures) >= least:
            break
        high += np.log(10)  # a cap just above the weight of a small source leaves room only near the recipe
    return _spread(mixtures, caps, least)


def _spread(mixtures: Floats, caps: Floats, least: int) -> Floats:
    """One mixture of each cell of a grid, the coarsest on which at least that many remain.

    Without it the chosen mixtures are near-duplicates in the corners, which no law can rank.
    """
    cells = COARSEST_GRID
    while True:
        _, first = np.unique(np.round(mixtures / np.maximum(caps, 1 / UNITS) * cells), axis=0, return_index=True)
        if len(first) >= least or cells > UNITS:
            return mixtures[np.sort(first)]
        cells *= 2

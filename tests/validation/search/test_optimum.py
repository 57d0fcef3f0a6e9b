"""The proposed weights are the best of all on a grid over the mixtures within the caps."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.validation.search.law import Law
from gpts_data.validation.search.optimum import KL_STRENGTH, best_weights, weighted_loss

STEPS = 60
GRID = np.array([(i, j, STEPS - i - j) for i, j in product(range(STEPS + 1), repeat=2) if i + j <= STEPS]) / STEPS


def objective(laws: list[Law], importance: list[float], recipe: np.ndarray, mixtures: np.ndarray) -> np.ndarray:
    divergence = (mixtures * np.log(np.maximum(mixtures, 1e-300) / recipe)).sum(axis=-1)
    return weighted_loss(laws, importance, mixtures) + KL_STRENGTH * divergence


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_no_mixture_of_a_grid_is_better(seed: int, limited: bool) -> None:
    generator = np.random.default_rng(seed)
    laws = [
        Law(0.5, float(generator.normal(-1, 0.5)), tuple((generator.normal(size=3) * scale).tolist()))
        for scale in generator.choice([0.3, 1, 3], size=generator.integers(1, 4))
    ]
    importance = generator.uniform(0.1, 2, len(laws)).tolist()
    recipe = 0.05 + 0.85 * generator.dirichlet((1, 1, 1))
    caps = np.minimum(1.0, recipe * generator.uniform(1, 3, 3)) if limited else np.ones(3)
    best = best_weights(laws, importance, recipe, caps)
    assert abs(best.sum() - 1) < 1e-9 and (best >= 0).all() and (best <= caps + 1e-9).all()
    allowed = GRID[(caps >= GRID).all(axis=1)]
    grid = objective(laws, importance, recipe, allowed).min(initial=np.inf)
    assert objective(laws, importance, recipe, best) <= grid + 1e-9


def test_useless_differences_leave_the_recipe() -> None:
    recipe = np.array([0.55, 0.3, 0.15])
    np.testing.assert_allclose(
        best_weights([Law(1.0, 0.0, (0.0, 0.0, 0.0))], [1], recipe, np.ones(3)), recipe, atol=1e-6
    )


def test_a_harmful_source_ends_near_zero_and_a_capped_one_at_its_cap() -> None:
    recipe, caps = np.array([0.4, 0.3, 0.3]), np.array([1.0, 1.0, 0.5])
    harmful, helpful = 1.5, -1.5
    best = best_weights([Law(0.8, -0.5, (0.0, harmful, helpful))], [1], recipe, caps)
    assert best[1] < 0.001 and abs(best[2] - 0.5) < 1e-6

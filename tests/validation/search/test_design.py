"""Designs are mixtures that sum to 1, stay below the caps, are all different, and depend on recipe and seed alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.errors import ShortSourceError, UsageError
from gpts_data.validation.search.caps import Floats, limit_weights, weight_caps
from gpts_data.validation.search.design import RIDGE, d_optimal, design_mixtures, design_runs, features


@st.composite
def recipes(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Weights of 2 to 5 sources, and caps that leave room around them."""
    size = draw(st.integers(2, 5))
    weights = np.array(draw(st.lists(st.floats(0.01, 1), min_size=size, max_size=size)))
    weights /= weights.sum()
    factors = np.array(draw(st.lists(st.floats(1.1, 8), min_size=size, max_size=size)))
    return weights, np.minimum(1.0, weights * factors)


@settings(max_examples=25, deadline=None)
@example((np.array([0.99, 0.01]), np.array([1.0, 0.0125])), 1)  # few of the mixtures drawn around it differ
@given(recipes(), st.integers(0, 2**32))
def test_designs_keep_to_simplex_and_caps(recipe: tuple[Floats, Floats], seed: int) -> None:
    weights, caps = recipe
    mixtures = design_mixtures(weights, caps, seed, mixtures=8)
    assert mixtures.shape == (8, len(weights))
    assert (mixtures >= 0).all() and (mixtures <= caps + 1e-12).all()
    np.testing.assert_allclose(mixtures.sum(axis=1), 1, atol=1e-12)
    assert len(np.unique(mixtures, axis=0)) == 8
    assert (design_mixtures(weights, caps, seed, mixtures=8) == mixtures).all()


def test_a_search_has_five_runs_per_source_and_three_of_the_recipe() -> None:
    for sources, mixtures in ((2, 12), (4, 20)):
        recipe = np.full(sources, 1 / sources)
        runs = design_runs(recipe, np.ones(sources), seed=1)
        assert len(runs) == mixtures + 3
        assert [run.weights for run in runs[:3]] == [tuple(recipe)] * 3
        assert len({run.seed for run in runs}) == len({run.name for run in runs}) == len(runs)
        assert runs != design_runs(recipe, np.ones(sources), seed=2)


def test_the_chosen_mixtures_tell_more_than_random_ones() -> None:
    rows = features(np.random.default_rng(0).dirichlet((1, 1, 1), 300))

    def information(chosen: list[int]) -> float:
        return float(np.linalg.slogdet(RIDGE * np.eye(rows.shape[1]) + rows[chosen].T @ rows[chosen]).logabsdet)

    random = [np.random.default_rng(seed).choice(300, 15, replace=False).tolist() for seed in range(200)]
    assert information(d_optimal(rows, 15)) > max(map(information, random))


def test_a_search_needs_two_sources_and_room_to_move() -> None:
    with pytest.raises(UsageError, match="one source"):
        design_mixtures(np.ones(1), np.ones(1), seed=0)
    with pytest.raises(UsageError, match="4 mixtures cannot determine a law of 3 sources"):
        design_mixtures(np.full(3, 1 / 3), np.ones(3), seed=0, mixtures=4)
    with pytest.raises(UsageError, match="only 1 different mixtures were found"):
        design_mixtures(np.array([0.5, 0.5]), np.array([0.5, 0.5]), seed=0)


@given(recipes(), st.data())
def test_limited_weights_sum_to_1_below_the_caps(recipe: tuple[Floats, Floats], data: st.DataObject) -> None:
    _, caps = recipe
    wish = np.array(data.draw(st.lists(st.floats(1e-9, 1), min_size=len(caps), max_size=len(caps))))
    limited = limit_weights(wish, caps)
    assert (limited <= caps + 1e-12).all() and abs(limited.sum() - 1) < 1e-9
    free = limited < caps - 1e-12
    if free.any():  # the others keep their proportions
        np.testing.assert_allclose(limited[free] / wish[free], (limited[free] / wish[free])[0], rtol=1e-6)


def test_caps_follow_supply_and_refuse_a_recipe_above_them() -> None:
    recipe = np.array([0.75, 0.25])
    caps = weight_caps(["web", "books"], recipe, [600, 100], tokens=1000, max_epochs=4)
    assert caps.tolist() == [1.0, 0.4]
    with pytest.raises(ShortSourceError, match=r"'books'.*25.00%.*2.5 times, more than 2"):
        weight_caps(["web", "books"], recipe, [600, 100], tokens=1000, max_epochs=2)

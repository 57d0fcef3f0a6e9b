"""Weights are changed only on evidence: planted gains are found, and noise is refused with the reason in words."""

from __future__ import annotations

import numpy as np
import pytest

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.validation.search.design import design_runs
from gpts_data.validation.search.gate import judge, seed_noise
from gpts_data.validation.search.law import Law
from gpts_data.validation.search.proposal import propose

RECIPE = np.array([0.6, 0.4])
CAPS = np.array([0.9, 1.0])
MIXTURES = np.array([run.weights for run in design_runs(RECIPE, CAPS, seed=3)])


def test_noise_is_refused() -> None:
    generator = np.random.default_rng(0)
    losses = generator.normal(1.2, 0.01, (100, len(MIXTURES), 1))
    accepted = [propose(MIXTURES, values, [1], RECIPE, CAPS).verdict.accepted for values in losses]
    assert sum(accepted) <= 5


def test_a_planted_gain_is_found_for_the_weighted_targets() -> None:
    generator = np.random.default_rng(1)
    laws = [Law(0.7, -0.8, (0.8, -0.8)), Law(0.9, -1.0, (-0.2, 0.2))]
    losses = np.column_stack([law.predict(MIXTURES) for law in laws])
    proposal = propose(MIXTURES, losses + generator.normal(0, 0.004, losses.shape), [3, 1], RECIPE, CAPS)
    assert proposal.verdict.accepted
    assert proposal.verdict.rank_correlation > 0.9
    assert proposal.weights[1] > 0.8
    assert proposal.verdict.gain == pytest.approx(proposal.recipe_loss - proposal.proposed_loss)
    other = propose(MIXTURES, losses + generator.normal(0, 0.004, losses.shape), [0.01, 1], RECIPE, CAPS)
    assert other.weights[0] > RECIPE[0]


def test_a_loss_that_is_no_number_is_refused() -> None:
    losses = np.ones((len(MIXTURES), 2))
    losses[4, 1] = np.nan
    with pytest.raises(GptsDataError, match="run 4.*target 1 is nan"):
        propose(MIXTURES, losses, [1, 1], RECIPE, CAPS)


def test_each_reason_is_given_in_words() -> None:
    assert judge(0.95, 0.05, 0.01).accepted
    for verdict, reason in (
        (judge(0.79, 0.05, 0.01), "leave-one-out rank correlation 0.79, expected 0.8"),
        (judge(float("nan"), 0.05, 0.01), "leave-one-out rank correlation nan"),
        (judge(0.95, 0.015, 0.01), "gain of 0.0150 is within the noise"),
        (judge(0.95, 0.05, None), "the noise is unknown"),
    ):
        assert not verdict.accepted
        assert len(verdict.reasons) == 1 and reason in verdict.reasons[0]
    assert len(judge(0.1, 0.0, 0.01).reasons) == 2


def test_a_law_that_does_not_rank_is_explained_by_the_gain_that_it_predicts() -> None:
    [large], small = judge(0.5, 0.3, 0.01).reasons, judge(0.5, 0.0, 0.01).reasons[0]
    assert "too few runs" in large and "matter little" not in large
    assert "matter little" in small and "too few" not in small


def test_noise_is_that_of_runs_with_equal_weights() -> None:
    mixtures = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.1, 0.9]])
    assert seed_noise(mixtures, np.array([1.0, 2.0, 3.0, 9.0])) == pytest.approx(1.0)
    assert seed_noise(mixtures[2:], np.array([1.0, 9.0])) is None

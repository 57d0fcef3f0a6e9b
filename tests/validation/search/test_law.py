"""Planted laws are recovered within the error that is stated, which is estimated without looking at unseen mixtures."""

from __future__ import annotations

import numpy as np

from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.design import design_mixtures
from gpts_data.validation.search.law import Law, cross_validate, fit_law, rank_correlation

RECIPE = np.array([0.55, 0.3, 0.15])
MIXTURES = design_mixtures(RECIPE, np.ones(3), seed=0)


def planted(seed: int) -> Law:
    """A law like those of proxy runs in bits per byte: c about 0.8, differences of some 0.2."""
    generator = np.random.default_rng(seed)
    t = generator.normal(size=3) * generator.choice([0.3, 0.6, 1.2])
    return Law(0.8, float(generator.normal(-0.7, 0.3)), tuple((t - t.mean()).tolist()))


def unseen(seed: int) -> Floats:
    return np.random.default_rng(1000 + seed).dirichlet(8 * RECIPE, 200)


def test_a_law_without_noise_is_recovered() -> None:
    for seed in range(5):
        law = planted(seed)
        fitted = fit_law(MIXTURES, law.predict(MIXTURES))
        np.testing.assert_allclose(fitted.predict(unseen(seed)), law.predict(unseen(seed)), atol=1e-5)
        np.testing.assert_allclose([fitted.c, fitted.b, *fitted.t], [law.c, law.b, *law.t], atol=2e-2)


def test_noisy_laws_are_recovered_within_the_stated_error() -> None:
    hits = []
    for seed in range(20):
        law = planted(seed)
        losses = law.predict(MIXTURES) + np.random.default_rng(seed).normal(0, 0.005, len(MIXTURES))
        fitted = fit_law(MIXTURES, losses)
        error = cross_validate(MIXTURES, losses, fitted).error
        assert 0.002 < error < 0.012  # the noise, and what it does to the law
        hits.append(np.abs(fitted.predict(unseen(seed)) - law.predict(unseen(seed))) < 2 * error)
    assert np.mean(hits) > 0.95


def test_a_failed_run_does_not_move_the_law() -> None:
    law = planted(2)
    losses = law.predict(MIXTURES)
    losses[4] += 1.0
    assert np.abs(fit_law(MIXTURES, losses).predict(unseen(2)) - law.predict(unseen(2))).max() < 0.05


def test_runs_that_differ_only_in_the_seed_are_left_out_together() -> None:
    mixtures = np.vstack([MIXTURES, MIXTURES[:1], MIXTURES[:1]])
    losses = planted(1).predict(mixtures)
    losses[[0, -1, -2]] += 0.2
    check = cross_validate(mixtures, losses)
    assert check.mixtures.shape == MIXTURES.shape
    error = np.abs(check.predicted - check.measured)[(check.mixtures == MIXTURES[0]).all(axis=1)]
    assert error > 0.15


def test_losses_that_do_not_depend_on_the_weights() -> None:
    law = fit_law(MIXTURES, np.full(len(MIXTURES), 1.5))
    np.testing.assert_allclose(law.predict(unseen(0)), 1.5, atol=1e-6)
    assert cross_validate(MIXTURES, np.full(len(MIXTURES), 1.5), law).rank_correlation == 0


def test_rank_correlation_with_ties() -> None:
    assert rank_correlation(np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 20, 90])) > 0.9
    assert rank_correlation(np.array([1.0, 1, 1]), np.array([1.0, 2, 3])) == 0


def test_predictions_far_from_all_runs_are_finite() -> None:
    steep = Law(0.5, 0.0, (-2000.0, 1000.0, 1000.0))
    assert np.isfinite(steep.predict(np.eye(3))).all() and np.isfinite(steep.gradient(np.eye(3)[1])).all()

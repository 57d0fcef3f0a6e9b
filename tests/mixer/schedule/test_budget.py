"""Shares are exact: they sum to the total and stay within one window of the ideal."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.mixer.schedule.budget import budget, share, total_windows, whole_weights
from gpts_data.pipelines.errors import RecipeError


def test_the_preset_at_25b() -> None:
    assert total_windows(25_000_000_000, 512) == 48_828_125
    assert budget(25_000_000_000, 512, "abc", (55, 30, 15)) == (26_855_469, 14_648_437, 7_324_219)


def test_12m_rounds_to_the_nearest_window() -> None:
    assert total_windows(12_000_000, 512) == 23_438


@given(st.integers(0, 10**9), st.lists(st.integers(1, 10**6), min_size=1, max_size=20))
def test_shares_sum_and_stay_within_one_window(windows: int, weights: list[int]) -> None:
    shares = share(windows, weights)
    assert sum(shares) == windows
    for got, weight in zip(shares, weights, strict=True):
        assert abs(got - Fraction(windows * weight, sum(weights))) < 1


@given(st.integers(1, 10**6), st.lists(st.integers(1, 100), min_size=2, max_size=8))
def test_a_larger_remainder_is_served_first(windows: int, weights: list[int]) -> None:
    total = sum(weights)
    rest = [windows * weight % total for weight in weights]
    up = [got > windows * weight // total for got, weight in zip(share(windows, weights), weights, strict=True)]
    assert all(rest[i] >= rest[j] for i in range(len(rest)) for j in range(len(rest)) if up[i] and not up[j])


def test_fractions_are_the_same_weights() -> None:
    assert whole_weights((0.55, 0.3, 0.15)) == whole_weights((55, 30, 15)) == (11, 6, 3)


def test_a_source_without_a_window_is_refused_with_both_numbers() -> None:
    with pytest.raises(RecipeError, match=r"weight 1 of 101.*no window of the 2 .*51,713 tokens"):
        budget(1000, 512, ("a", "b"), (1, 100))


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_a_weight_must_be_above_zero(weight: float) -> None:
    with pytest.raises(RecipeError, match="above 0"):
        budget(10**6, 512, ("a", "b"), (weight, 1))

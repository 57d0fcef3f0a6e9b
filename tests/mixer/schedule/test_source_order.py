"""P1: every prefix of the training order is within one window per source of the wanted share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpts_data.mixer.schedule.budget import budget, share
from gpts_data.mixer.schedule.source_order import SourceOrder, find_source_order
from gpts_data.mixer.schedule.training_stages import training_stages

weights = st.lists(st.integers(1, 60), min_size=1, max_size=3)
many_weights = st.lists(st.integers(1, 60), min_size=4, max_size=12)


def order_of(w: Sequence[int], windows: int) -> SourceOrder:
    """The source order of a recipe without stages."""
    return find_source_order(training_stages([windows], [w]))


def prefix_counts(order: NDArray[np.uint8], n: int) -> NDArray[np.int64]:
    """Windows per source after each position: shape (positions, n)."""
    counts: NDArray[np.int64] = (order[:, None] == np.arange(n)).cumsum(axis=0)
    return counts


def worst(counts: NDArray[np.int64], parts: tuple[int, ...], first: int = 1) -> float:
    """Largest distance, in windows, of any prefix from the shares that `parts` give."""
    positions = np.arange(first, first + len(counts))[:, None]
    return float(np.abs(counts * sum(parts) - positions * np.array(parts)).max() / sum(parts))


@settings(max_examples=300, deadline=None)
@given(weights, st.integers(1, 3000))
def test_up_to_three_sources_keep_to_weights_and_shares(w: list[int], windows: int) -> None:
    shares = share(windows, w)
    assume(0 not in shares)
    schedule = order_of(w, windows)
    counts = prefix_counts(schedule.sources(0, windows, [0] * len(w)), len(w))
    assert tuple(counts[-1]) == shares
    assert worst(counts, tuple(w)) < 1
    assert worst(counts, shares) < 1


@settings(max_examples=200, deadline=None)
@given(many_weights, st.integers(12, 3000))
def test_any_number_of_sources_keeps_to_the_final_shares(w: list[int], windows: int) -> None:
    shares = share(windows, w)
    assume(0 not in shares)
    counts = prefix_counts(order_of(w, windows).sources(0, windows, [0] * len(w)), len(w))
    assert tuple(counts[-1]) == shares
    assert worst(counts, shares) < 1


def test_a_recipe_that_cannot_keep_to_both_keeps_to_its_final_shares() -> None:
    w, shares = (5, 5, 3, 5, 3, 5), (8, 8, 4, 8, 4, 8)  # found by random search
    schedule = order_of(w, 40)
    assert [(stage.shares, stage.by_weight) for stage in schedule.stages] == [(shares, False)]
    assert worst(prefix_counts(schedule.sources(0, 40, [0] * 6), 6), shares) < 1


@settings(max_examples=50, deadline=None)
@given(weights, st.integers(1, 2000), st.integers(1, 500))
def test_any_part_can_be_had_without_the_rest(w: list[int], windows: int, step: int) -> None:
    shares = share(windows, w)
    assume(0 not in shares)
    schedule = order_of(w, windows)
    whole = schedule.sources(0, windows, [0] * len(w))
    counts = schedule.counts(step)
    parts = [
        schedule.sources(start, min(start + step, windows), counts[i].tolist())
        for i, start in enumerate(range(0, windows, step))
    ]
    assert (np.concatenate(parts) == whole).all()
    assert tuple(counts[-1]) == shares


def test_the_preset_exhaustively() -> None:
    """All 48,828,125 windows of 25B tokens at 55/30/15."""
    shares = budget(25_000_000_000, 512, "abc", (55, 30, 15))
    schedule = order_of((11, 6, 3), sum(shares))
    before = np.zeros(3, dtype=np.int64)
    for start in range(0, schedule.windows, 1 << 21):
        order = schedule.sources(start, min(start + (1 << 21), schedule.windows), before.tolist())
        counts = before + prefix_counts(order, 3)
        assert worst(counts, (11, 6, 3), start + 1) < 1
        assert worst(counts, shares, start + 1) < 1
        before = counts[-1]
    assert tuple(before) == shares


def test_the_order_of_a_small_recipe() -> None:
    """Written out, so that an accidental change of the rule is seen: it would change every mix."""
    order = order_of((11, 6, 3), 20).sources(0, 20, [0, 0, 0])
    assert order.tolist() == [0, 0, 1, 0, 1, 2, 0, 0, 1, 0, 0, 1, 2, 0, 0, 1, 0, 1, 0, 2]


def test_weights_with_too_many_digits_keep_to_the_shares() -> None:
    """Products of 64-bit numbers would overflow. Recipes with such weights are refused; mixes built with them open."""
    w = (3333333333333333, 6666666666666667)
    schedule = order_of(w, 3000)
    assert [stage.by_weight for stage in schedule.stages] == [False]
    assert worst(prefix_counts(schedule.sources(0, 3000, [0, 0]), 2), (1000, 2000)) < 1

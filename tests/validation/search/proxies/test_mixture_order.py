"""A virtual mixture has the exact shares of a mix at every prefix, and repeats a source as a mix would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.validation.search.caps import UNITS
from gpts_data.validation.search.proxies.mixture_order import mixture_order

MIXTURES = st.lists(st.integers(0, UNITS), min_size=2, max_size=3).filter(any)  # of more, a few have no exact order


@given(MIXTURES, st.integers(1, 400), st.integers(1, 50), st.integers(0, 9))
def test_every_prefix_is_exact_and_every_window_comes_equally_often(
    whole: list[int], windows: int, available: int, seed: int
) -> None:
    weights = np.round(np.array(whole) / sum(whole) * UNITS) / UNITS
    names, starts = [f"source-{i}" for i in range(len(whole))], [1000 * i for i in range(len(whole))]
    order = mixture_order(
        weights.tolist(), windows, names=names, available=[available] * len(whole), starts=starts, seed=seed
    )
    sources, rows = np.divmod(order, 1000)
    for i, weight in enumerate(weights / weights.sum()):
        so_far = np.cumsum(sources == i)
        assert (np.abs(so_far - weight * np.arange(1, windows + 1)) < 1 + 1e-9).all()
        counts = np.bincount(rows[sources == i], minlength=1)
        used = min(so_far[-1], available)
        assert len(counts) <= max(used, 1)
        assert so_far[-1] == 0 or np.ptp(counts[:used]) <= 1


def test_the_seed_changes_the_windows_and_not_the_sources() -> None:
    def order(seed: int) -> np.ndarray:
        return mixture_order((0.7, 0.3), 100, names=("a", "b"), available=(100, 100), starts=(0, 1000), seed=seed)

    assert (order(1) // 1000 == order(2) // 1000).all()
    assert not (order(1) == order(2)).all()
    assert (order(1) == order(1)).all()


@pytest.mark.parametrize("absent", [0, 1])
def test_a_source_with_weight_0_is_absent(absent: int) -> None:
    weights = [1.0, 1.0]
    weights[absent] = 0.0
    order = mixture_order(weights, 10, names=("a", "b"), available=(1, 1), starts=(0, 1000), seed=0)
    assert set(order.tolist()) == {1000 * (1 - absent)}

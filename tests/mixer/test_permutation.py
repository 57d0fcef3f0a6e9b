"""The shuffle is a bijection that can be undone, and differs by seed and by name."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.mixer.permutation import Permutation


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(0, 2**64), st.text(max_size=8))
def test_it_is_a_bijection_and_inverse_undoes_it(size: int, seed: int, name: str) -> None:
    order = Permutation(size, seed, name)
    numbers = np.arange(size)
    moved = order.forward(numbers)
    assert sorted(moved.tolist()) == numbers.tolist()
    assert (order.inverse(moved) == numbers).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 2**32), st.lists(st.integers(0, 2**32), min_size=1, max_size=50))
def test_large_domains_without_memory(size: int, numbers: list[int]) -> None:
    order = Permutation(size, 1, "web")
    inside = np.array([number % size for number in numbers])
    moved = order.forward(inside)
    assert ((moved >= 0) & (moved < size)).all()
    assert (order.inverse(moved) == inside).all()


def test_seed_and_name_matter() -> None:
    numbers = np.arange(1000)
    orders = [Permutation(1000, seed, name).forward(numbers).tolist() for seed in (1, 2) for name in ("a", "b")]
    assert len({tuple(order) for order in orders}) == 4


def test_neighbours_are_spread() -> None:
    """Shuffled, not shifted: positions of neighbouring windows are uncorrelated."""
    moved = Permutation(20_000, 3, "web").forward(np.arange(20_000))
    assert abs(np.corrcoef(moved[:-1], moved[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(moved, np.arange(20_000))[0, 1]) < 0.03


def test_the_order_itself_is_fixed() -> None:
    """Written out: a change of rounds or mixing would change every mix."""
    assert Permutation(10, 20260, "fineweb-edu").forward(np.arange(10)).tolist() == [5, 0, 6, 8, 9, 2, 4, 1, 7, 3]

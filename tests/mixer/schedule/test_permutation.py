"""The shuffle is a bijection that can be undone, and differs by seed and by name."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.mixer.schedule.permutation import EpochOrder, Permutation


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
    small = [Permutation(n, 1, "web").forward(np.arange(n)).tolist() for n in (1, 2, 3, 4, 5)]
    assert small == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [3, 2, 0, 1, 4]]
    numbers = Permutation(17, 1, "web").forward(np.arange(17)).tolist()
    assert numbers == [12, 10, 9, 0, 3, 11, 6, 8, 15, 5, 13, 7, 16, 4, 1, 2, 14]
    large = Permutation(48_828_125, 20260, "fineweb-edu").forward(np.array([0, 1, 2, 48_828_124]))
    assert large.tolist() == [26186253, 31709817, 47588356, 22253710]
    assert EpochOrder(12, 5, 1, "web").windows_at(np.arange(12)).tolist() == [2, 3, 1, 0, 4, 3, 2, 1, 4, 0, 0, 3]


def test_epochs_count_the_part_of_the_last_one() -> None:
    assert EpochOrder(12, 5, 1, "web").epochs == 2.4 and EpochOrder(5, 5, 1, "web").epochs == 1


@given(st.integers(1, 300), st.integers(1, 2000), st.integers(0, 9))
def test_passes_fill_every_slot_and_each_holds_every_window_once(windows: int, slots: int, seed: int) -> None:
    windows = min(windows, slots)
    order = EpochOrder(slots, windows, seed, "web")
    places, found = order.slots_of(np.arange(windows))
    assert sorted(places.tolist()) == list(range(slots))
    at = order.windows_at(np.arange(slots))
    assert (at[places] == found).all()
    for start in range(0, slots, windows):
        some = at[start : start + windows]
        assert len(set(some.tolist())) == len(some)
    assert (at[order.first_epoch_slots(np.arange(windows))] == np.arange(windows)).all()


def test_one_pass_is_the_permutation_and_each_further_one_another() -> None:
    order, numbers = EpochOrder(3000, 1000, 7, "web"), np.arange(1000)
    assert (EpochOrder(1000, 1000, 7, "web").windows_at(numbers) == Permutation(1000, 7, "web").inverse(numbers)).all()
    passes = order.windows_at(np.arange(3000)).reshape(3, 1000).tolist()
    assert passes[0] == Permutation(1000, 7, "web").inverse(numbers).tolist()
    assert len({tuple(one) for one in passes}) == 3

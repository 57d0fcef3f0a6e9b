"""Best-fit packing: documents are cut as seldom as possible, and there is little padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.mixer.schedule.packing import best_fit


@given(st.lists(st.integers(1, 100), max_size=60), st.integers(2, 40))
def test_documents_do_not_overlap_and_are_cut_as_seldom_as_possible(lengths: list[int], window: int) -> None:
    sizes = np.array(lengths, np.int64)
    starts, windows = best_fit(sizes, window)
    used = np.zeros(windows * window, np.int64)
    for start, size in zip(starts.tolist(), lengths, strict=True):
        used[start : start + size] += 1  # raises nothing beyond the end, which the sum notices
        assert (start + size - 1) // window - start // window == (size - 1) // window
    assert used.max(initial=0) <= 1 and used.sum() == sizes.sum()
    rows = used.reshape(-1, window)
    assert (rows[:, 0] == 1).all()  # padding is never first in a window: it always follows a document
    assert windows >= -(-sizes.sum() // window)


@pytest.mark.parametrize("window", [512, 1024, 4096])
def test_documents_of_the_web_leave_little_padding(window: int) -> None:
    """Lengths as FineWeb-Edu has them: a median of 545 tokens, and a long tail."""
    sizes = np.maximum(np.random.default_rng(0).lognormal(6.3, 1.1, 20_000).astype(np.int64), 1)
    windows = best_fit(sizes, window).windows
    assert 1 - sizes.sum() / (windows * window) < 0.01


def test_a_rest_shares_its_window_with_documents_and_with_another_rest() -> None:
    starts, windows = best_fit(np.array([25, 24, 1, 10]), 10)
    assert windows == 6 and starts.tolist() == [0, 26, 25, 50]

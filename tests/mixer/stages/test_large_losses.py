"""A source that loses much of its text to one reason is named."""

from __future__ import annotations

import pytest

from gpts_data.mixer.stages.large_losses import large_losses


@pytest.mark.parametrize(
    ("read", "dropped", "expected"),
    [
        (100, {"near_duplicate": 30, "too_short": 30}, []),
        (100, {"near_duplicate": 31, "too_short": 40}, [("near_duplicate", 0.31), ("too_short", 0.4)]),
        (1000, {"over_budget": 900, "near_duplicate": 52, "too_short": 48}, [("near_duplicate", 0.52)]),
        (1000, {"over_budget": 1000}, []),
        (0, {}, []),
        (1, {"over_budget": 1, "near_duplicate": 1}, []),  # of an estimate, whose counts are rounded
    ],
)
def test_a_loss_is_large_above_a_share_of_the_documents_that_were_judged(
    read: int, dropped: dict[str, int], expected: list[tuple[str, float]]
) -> None:
    assert list(large_losses(read, dropped)) == expected

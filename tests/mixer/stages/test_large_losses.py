"""A source that loses much of its text to one reason is named."""

from __future__ import annotations

import pytest

from gpts_data.mixer.stages.large_losses import first_advice, large_losses
from gpts_data.pipelines.filters.cleaner import CleanConfig


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


@pytest.mark.parametrize(
    ("dropped", "advice"),
    [
        ({"too_short": 30}, ""),
        (
            {"too_short": 40},
            "too_short drops 40% of its documents: look at min_characters (now 20) in its [source.clean]",
        ),
        (
            {"gopher_short_doc": 86},
            "86% of its documents: look at gopher_quality.min_doc_words (now 50) in its [source.c",
        ),
        ({"top_4_gram": 50}, "look at gopher_repetition.top_n_grams (now 0.16) in its [source.clean] first"),
        (
            {"near_duplicate": 50, "too_short": 40},
            "near_duplicate drops 50% of its documents: look at its key in docs/",
        ),
    ],
)
def test_a_source_that_is_too_short_is_told_its_largest_loss_first(dropped: dict[str, int], advice: str) -> None:
    clean = CleanConfig(filters=("gopher_repetition", "gopher_quality"), min_characters=20)
    found = first_advice(100, dropped, clean)
    assert advice in found and bool(found) == bool(advice)

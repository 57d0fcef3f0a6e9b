"""The published rows are complete, and their averages match their scores."""

from __future__ import annotations

import pytest

from gpts_data.validation.published_scores import CHANCE, PUBLISHED, TASKS


@pytest.mark.parametrize("model", PUBLISHED)
def test_averages(model: str) -> None:
    *scores, average = PUBLISHED[model]
    assert len(scores) == len(TASKS) == len(CHANCE)
    assert sum(scores) / len(scores) == pytest.approx(average, abs=0.005)

"""The published rows are complete, and their averages and indices match their scores."""

from __future__ import annotations

import pytest

from gpts_data.validation.published_scores import BOARD, BOARD_TASKS, CARD, CARD_TASKS, CHANCE, int_index


@pytest.mark.parametrize("model", CARD)
def test_averages(model: str) -> None:
    *scores, average = CARD[model]
    assert len(scores) == len(CARD_TASKS)
    assert sum(scores) / len(scores) == pytest.approx(average, abs=0.005)


@pytest.mark.parametrize("model", BOARD)
def test_int_index_is_the_one_on_the_board(model: str) -> None:
    *scores, index = BOARD[model]
    assert int_index(dict(zip(BOARD_TASKS, scores, strict=True))) == pytest.approx(index, abs=0.005)


def test_int_index_of_guessing_and_of_all_right() -> None:
    assert int_index(CHANCE) == 0
    assert int_index(dict.fromkeys(BOARD_TASKS, 100.0)) == pytest.approx(100)

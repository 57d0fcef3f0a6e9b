"""Stages in a training run: where they begin, and a note when that is where the learning rate begins to fall."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from gpts_data.mixer.format.manifest_types import Manifest
from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.stage_steps import decay_note, stage_steps


def mix(*untils: float) -> Mix:
    """A mix of 1,000 windows without files, with a stage for each end in `untils`, and the last."""
    stages = [{"weights": {"web": 1}, "until": until} for until in (*untils, None)]
    recipe: dict[str, Any] = {"window": 512, "source": [{"name": "web"}], "stage": stages}
    return Mix(Path("nowhere"), cast(Manifest, {"windows": 1000, "recipe": recipe}))


def test_the_steps_at_which_stages_begin() -> None:
    assert stage_steps(mix(0.5, 0.8), LearningRateSchedule(250, 4)) == [125, 200]
    assert stage_steps(mix(0.5, 0.8), LearningRateSchedule(150, 4)) == [125]
    assert stage_steps(mix(0.5), LearningRateSchedule(500, 4)) == [125, 250, 375]  # 250: the second epoch
    assert stage_steps(mix(), LearningRateSchedule(500, 4)) == []


@pytest.mark.parametrize(("until", "noted"), [(0.7, True), (0.66, True), (0.74, True), (0.6, False), (0.8, False)])
def test_a_stage_that_begins_with_the_decay_is_noted(until: float, noted: bool) -> None:
    note = decay_note(mix(until), LearningRateSchedule(250, 4))
    assert (note is not None) == noted
    if note:
        assert f"begins at step {until * 250:.0f} and the learning rate falls from step 175 of 250" in note

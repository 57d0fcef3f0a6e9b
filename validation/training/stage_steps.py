"""Where the stages of a mix begin in a run, and whether that is where the learning rate begins to fall."""

from __future__ import annotations

from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.training.lr_schedule import DECAY_FROM, LearningRateSchedule

NEAR = 0.05  # of the steps; a sixth of the decay


def stage_steps(mix: Mix, schedule: LearningRateSchedule) -> list[float]:
    """The steps of a run at which another stage of the mix begins, counted from 0, with their fraction.

    A run longer than the mix starts again with the first stage.
    """
    total = schedule.steps * schedule.batch
    epochs = range(-(-total // mix.windows)) if len(mix.stages) > 1 else range(0)
    starts = [epoch * mix.windows + stage.start for epoch in epochs for stage in mix.stages]
    return [start / schedule.batch for start in starts if 0 < start < total]


def decay_note(mix: Mix, schedule: LearningRateSchedule) -> str | None:
    """A note when a stage begins nearly where the learning rate begins to fall; None otherwise."""
    decay = DECAY_FROM * schedule.steps
    for step in stage_steps(mix, schedule):
        if abs(step - decay) <= NEAR * schedule.steps:
            return (
                f"note: a stage of the mix begins at step {step:,.0f} and the learning rate falls from step "
                f"{decay:,.0f} of {schedule.steps:,}: the curves cannot tell the effects of the two apart, and the "
                "stage is trained on at falling rates only; a smaller `until` begins it at the full rate"
            )
    return None

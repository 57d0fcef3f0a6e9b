"""The learning-rate schedule of GPT-S: linear warm-up, a constant rate, then decay to zero (WSD).

    steps 0 .. warmup         rises linearly to the peak
    .. 70% of the steps       stays at the peak
    .. the last step          decays to 0: `1-sqrt` fast at first and then slower, `linear` evenly

The rate before the decay does not depend on the number of steps, so a run can be extended from a checkpoint that was
written before its decay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import UsageError

# The published recipe of GPT-S-5M.
PEAK = 2.5e-3
DECAY_FROM = 0.7  # of the steps
WARMUP = 1500  # steps; a tenth of the steps in a run of fewer than 15,000
BATCH_TOKENS = 262_144

Shape = Literal["1-sqrt", "linear"]


@dataclass(frozen=True)
class LearningRateSchedule:
    """The length of a run and its learning rate at each step."""

    steps: int
    batch: int
    """Windows per step, over all processes."""
    shape: Shape = "1-sqrt"
    """Shape of the decay."""

    def rate(self, step: int) -> float:
        """Return the learning rate of step `step`, counted from 0."""
        return wsd(step, self.steps, PEAK, min(WARMUP, self.steps // 10), shape=self.shape)


def published_schedule(mix: Mix, steps: int | None = None, shape: Shape = "1-sqrt") -> LearningRateSchedule:
    """Return the schedule of the published recipe: one epoch over `mix` with 262,144 tokens per step.

    For the 25B tokens of the preset that is 95,367 steps; the 221 windows after the last whole batch are not used.
    `steps` overrides the number of steps. Raises `UsageError` when the mix is smaller than one batch.
    """
    batch = max(BATCH_TOKENS // mix.window, 1)
    if not (steps or mix.windows // batch):
        raise UsageError(
            f"{mix.path}: found {mix.windows:,} windows, expected at least {batch:,}, which one step of the published "
            "recipe uses; leave out --recipe-schedule, or give --steps"
        )
    return LearningRateSchedule(steps or mix.windows // batch, batch, shape)


def wsd(
    step: int, steps: int, peak: float, warmup: int, decay_from: float = DECAY_FROM, shape: Shape = "1-sqrt"
) -> float:
    """Return the learning rate of step `step`, counted from 0, in a run of `steps` steps.

    Step 0 has the rate peak / warmup, since a rate of 0 would waste the step. The published recipe has a peak of
    2.5e-3, 1,500 steps of warm-up and a decay to 0 from 70% of training; it does not say with which shape. Haegele et
    al., arXiv 2405.18392, found 1 - sqrt better than linear.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    start = decay_from * steps
    if step <= start:
        return peak
    progress = (step - start) / (steps - start)  # reaches 1 one step after the last, which therefore still trains
    return peak * (1 - (math.sqrt(progress) if shape == "1-sqrt" else progress))

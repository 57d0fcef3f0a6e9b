"""The learning rate of GPT-S: warm-up, stable, decay.

    updates 0 .. warmup       rises evenly to the peak
    .. 70% of the steps       stays there
    .. steps                  falls to 0: `1-sqrt` fast first and then slower, `linear` evenly

The stable part has one height, so a run can be prolonged from its checkpoint before the decay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import UsageError

Shape = Literal["1-sqrt", "linear"]


def wsd(step: int, steps: int, peak: float, warmup: int, decay_from: float = 0.7, shape: Shape = "1-sqrt") -> float:
    """The rate of update `step`, counted from 0, of a run of `steps` updates.

    Update 0 already has peak / warmup, since a rate of 0 would waste it. The published recipe: peak 2.5e-3, warmup
    1,500, 0 at the end, decay from 70% of training. Its shape is not published; Haegele et al., arXiv 2405.18392, found
    1 - sqrt the better of the two.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    start = decay_from * steps
    if step <= start:
        return peak
    done = (step - start) / (steps - start)  # 1 at step == steps, one past the last update: that one still counts
    return peak * (1 - (math.sqrt(done) if shape == "1-sqrt" else done))


PEAK = 2.5e-3


WARMUP = 1500  # steps of the published run; a tenth of a shorter one


BATCH_TOKENS = 262_144


@dataclass(frozen=True)
class LearningRateSchedule:
    """Updates, windows an update (of all processes), and the rate's way."""

    steps: int
    batch: int
    shape: Shape = "1-sqrt"

    def rate(self, step: int) -> float:
        return wsd(step, self.steps, PEAK, min(WARMUP, self.steps // 10), shape=self.shape)


def published_schedule(mix: Mix, steps: int | None = None, shape: Shape = "1-sqrt") -> LearningRateSchedule:
    """The whole mix once, 262,144 tokens an update: 95,367 for the preset's 25B.

    What is left behind the last whole batch, 221 windows there, is not trained on. `steps` makes it shorter.
    """
    batch = max(BATCH_TOKENS // mix.window, 1)
    if not (steps or mix.windows // batch):
        raise UsageError(
            f"{mix.path}: {mix.windows:,} windows, an update of the published recipe wants {batch:,}; "
            "leave out --recipe-schedule, or give --steps"
        )
    return LearningRateSchedule(steps or mix.windows // batch, batch, shape)

"""The learning rate of GPT-S: warm-up, stable, decay.

    updates 0 .. warmup       rises evenly to the peak
    .. 70% of the steps       stays there
    .. steps                  falls to 0: `1-sqrt` fast first and then slower, `linear` evenly

The stable part has one height, so a run can be prolonged from its checkpoint before the decay.
"""

from __future__ import annotations

import math
from typing import Literal

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

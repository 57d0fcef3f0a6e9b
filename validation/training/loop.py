"""The loop over the steps of a run: reads their losses, logs, validates, saves checkpoints, and stops when it must.

On a GPU the loss of a step is read after the next one was started, so that the GPU always has work. All processes of a
torchrun read the same losses and gradients, and so stop at the same step; only rank 0 logs and writes.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.validation.training.log import Line
from gpts_data.validation.training.trainer import Trainer, Update

MAX_SKIPPED = 20  # updates in a row; float16's scale of 65,536 is 1 after 16 of them

BitsPerByte = dict[str, float | None]
log = logging.getLogger("gpts_data")


@dataclass(frozen=True)
class Duties:
    """What rank 0 does besides training. The other ranks have the default: nothing."""

    append: Callable[[Line], object] = lambda _: None
    """Called with the log line of each step, in order."""
    validate: Callable[[], BitsPerByte | None] = lambda: None
    save: Callable[[], object] = lambda: None
    """Saves a checkpoint of the trainer."""
    validate_every: int = 0
    """Steps between validations; the last step is always validated."""
    checkpoint_seconds: float = float("inf")


class Loop:
    """Does the remaining steps of a trainer."""

    def __init__(self, trainer: Trainer, duties: Duties, skip_nonfinite: bool = False) -> None:
        self.trainer = trainer
        self.duties = duties
        self.skip_nonfinite = skip_nonfinite
        self.seconds: list[float] = []  # of each step of this process, without validation and checkpoints
        self._skipped_in_a_row = 0
        self._batch_tokens = trainer.schedule.batch * trainer.order.mix.window
        self._read_at = time.monotonic()

    @property
    def reads_late(self) -> bool:
        """Whether the loss of a step is read after the next step was started."""
        return self.trainer.context.device.type == "cuda"

    @property
    def steady_seconds(self) -> float:
        """Median time of a step. The first one, which compiles the model, counts only when it is the only one."""
        return statistics.median(self.seconds[1:] or self.seconds)

    @property
    def compile_seconds(self) -> float:
        """Seconds that the first step took longer than the others; 0 when nothing is compiled."""
        return max(self.seconds[0] - self.steady_seconds, 0.0) if self.trainer.compiled else 0.0

    def run(self) -> None:
        """Raises `GptsDataError` when the training diverges."""
        trainer, duties = self.trainer, self.duties
        saved_at = self._read_at = time.monotonic()
        started: Update | None = None
        while trainer.step < trainer.schedule.steps:
            update = trainer.update()
            if started:
                self._finish(started)
            started = update
            is_last = trainer.step == trainer.schedule.steps
            validates = is_last or (duties.validate_every and trainer.step % duties.validate_every == 0)
            saves = not is_last and time.monotonic() - saved_at >= duties.checkpoint_seconds
            if validates or saves or not self.reads_late:
                self._finish(started, duties.validate if validates else None)
                started = None
            if saves:  # all steps before it have been read: none that is not finite goes unnoticed
                duties.save()
                saved_at = self._read_at = time.monotonic()

    def _finish(self, update: Update, validate: Callable[[], BitsPerByte | None] | None = None) -> None:
        """Wait for a step to end, check and log it."""
        loss, finite = update.read()
        seconds = time.monotonic() - self._read_at
        self.seconds.append(seconds)
        if not finite:
            self._allow_skipping(update, loss)
        self._skipped_in_a_row = 0 if finite else self._skipped_in_a_row + 1
        bits = validate() if validate else None
        speed = self._batch_tokens / seconds
        tokens = update.step * self._batch_tokens
        self.duties.append(Line(update.step, loss, update.rate, tokens, speed, bits, None if finite else True))
        self._read_at = time.monotonic()

    def _allow_skipping(self, update: Update, loss: float) -> None:
        """Log that a step is skipped, or raise `GptsDataError`."""
        place = f"step {update.step} of {self.trainer.schedule.steps}: the gradient is not finite, the loss is {loss}"
        if self._skipped_in_a_row + 1 >= MAX_SKIPPED:
            raise GptsDataError(f"{place}; it is the {MAX_SKIPPED}th such step in a row: the training diverged")
        if not self.skip_nonfinite and not self.trainer.scaled:
            raise GptsDataError(
                f"{place}; the weights were not updated. Run the same command again to continue from the last "
                "checkpoint; if it stops at this step again, add --skip-nonfinite to go on without its batch"
            )
        if self.trainer.context.rank == 0:
            log.warning("%s; this batch is skipped", place)

"""Trains a model with the published recipe of GPT-S-5M, one step at a time.

    step k     trains on windows k x batch .. (k + 1) x batch of the training order, divided evenly among the processes;
               each process adds up the gradients of its micro-batches; the gradient is clipped; AdamW updates the
               weights at the schedule's learning rate

The position in the data follows from the step alone, so a run resumed from a checkpoint reads on where it stopped.
Parameters and optimizer state are float32; on a GPU matrix products are bfloat16.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.pipelines.errors import GptsDataError, UsageError
from gpts_data.validation.model.model import GPTS
from gpts_data.validation.training.device import DistributedContext, autocast
from gpts_data.validation.training.lr_schedule import PEAK, LearningRateSchedule

BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.01
CLIP = 1.0


class Trainer:
    """A model, its optimizer and the number of steps they have done.

    Attributes:
        step: Steps done so far.
        micro_batch: Windows per forward and backward pass.
        passes: Micro-batches of this process per step.
    """

    def __init__(
        self, model: GPTS, mix: Mix, schedule: LearningRateSchedule, context: DistributedContext, micro_batch: int
    ) -> None:
        """Move the model to the device of `context`. `micro_batch` is a maximum: a divisor of the batch is chosen.

        Raises `UsageError` when the batch cannot be divided evenly among the processes.
        """
        process_batch, rest = divmod(schedule.batch, context.world)
        if rest:
            raise UsageError(
                f"a batch of {schedule.batch} windows for {context.world} processes: expected a number of processes "
                "that divides the batch; start torchrun with another --nproc-per-node"
            )
        self.micro_batch = max(n for n in range(1, min(micro_batch, process_batch) + 1) if process_batch % n == 0)
        self.passes = process_batch // self.micro_batch
        self.model = model.to(context.device)
        self.order = TrainingOrder(mix)
        self.schedule = schedule
        self.context = context
        self.optimizer = adamw(model)
        self.step = 0
        compiled = context.device.type == "cuda"  # on a CPU, compiling takes a minute and saves 5%
        loss = torch.compile(_Loss(model)) if compiled else _Loss(model)
        self._loss = loss if context.world == 1 else DistributedDataParallel(loss)

    def update(self) -> tuple[float, float]:
        """Do the next step. Returns the loss of its batch before the update, in nats per token, and the learning rate.

        Raises `GptsDataError` when the loss is not finite.
        """
        rate = self.schedule.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.context.mean(self._gradients()).item()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if not math.isfinite(loss):
            raise GptsDataError(f"step {self.step} of {self.schedule.steps}: the loss is {loss}; the training diverged")
        return loss, rate

    def _gradients(self) -> Tensor:
        """Add up the gradients of the micro-batches and return their mean loss.

        The processes exchange gradients once per step, with the last micro-batch.
        """
        total = torch.zeros((), device=self.context.device)
        start = self.step * self.schedule.batch + self.context.rank * self.passes * self.micro_batch
        for number in range(self.passes):
            windows = self.order.read(start + number * self.micro_batch, self.micro_batch)
            ids = torch.from_numpy(windows).to(self.context.device)
            with self._gradient_exchange(number == self.passes - 1):
                with autocast(self.context.device):
                    loss = self._loss(ids) / self.passes
                loss.backward()
            total += loss.detach()
        return total

    def _gradient_exchange(self, enabled: bool) -> AbstractContextManager[object]:
        if enabled or not isinstance(self._loss, DistributedDataParallel):
            return nullcontext()
        return self._loss.no_sync()  # type: ignore[no-any-return, no-untyped-call, unused-ignore]


class _Loss(nn.Module):
    """The loss as a forward pass, because DistributedDataParallel hooks into `forward`."""

    def __init__(self, model: GPTS) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.loss(ids)


def adamw(model: GPTS) -> torch.optim.AdamW:
    """Return AdamW with weight decay on every matrix, including the tied embedding, but not on the norms' weights."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    norms = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK, betas=BETAS, fused=True)

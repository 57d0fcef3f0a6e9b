"""The trainer: GPT-S-5M's published recipe, one update at a time.

    update k   windows k x batch .. (k + 1) x batch of the training order, shared out evenly among the processes,
               each its part in micro-batches whose gradients add up; clipped; AdamW at the schedule's rate

The data's place is one number, so a run that goes on from a checkpoint reads on where it stood. Parameters and
optimizer state are float32; on a GPU the products are bfloat16.
"""

from __future__ import annotations

import math
from contextlib import nullcontext

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
    """A model and its optimizer behind `step` updates. `micro`: at most so many windows in one pass through the model.

    Raises `UsageError` when the batch cannot be shared out evenly.
    """

    def __init__(
        self, model: GPTS, mix: Mix, schedule: LearningRateSchedule, context: DistributedContext, micro_batch: int
    ) -> None:
        own, rest = divmod(schedule.batch, context.world)
        if rest:
            raise UsageError(
                f"a batch of {schedule.batch} windows for {context.world} processes: expected a number of processes "
                "that divides it; start torchrun with another --nproc-per-node"
            )
        self.micro_batch = max(size for size in range(1, min(micro_batch, own) + 1) if own % size == 0)
        self.model, self.order, self.schedule, self.context = (
            model.to(context.device),
            TrainingOrder(mix),
            schedule,
            context,
        )
        self.passes = own // self.micro_batch
        self.optimizer = adamw(model)
        self.step = 0
        loss = (
            torch.compile(_Loss(model)) if context.device.type == "cuda" else _Loss(model)
        )  # on a CPU a minute, for 5%
        self._loss = loss if context.world == 1 else DistributedDataParallel(loss)

    def update(self) -> tuple[float, float]:
        """The next update. Returns the loss of its batch before it, in nats a token, and the rate.

        Raises `GptsDataError` when the loss is no number any more.
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
        """Add up the micro-batches' gradients, exchanged among the processes with the last; returns their mean loss."""
        total = torch.zeros((), device=self.context.device)
        first = self.step * self.schedule.batch + self.context.rank * self.passes * self.micro_batch
        for number in range(self.passes):
            windows = self.order.read(first + number * self.micro_batch, self.micro_batch)
            ids = torch.from_numpy(windows).to(self.context.device)
            with self._alone(number < self.passes - 1):
                with autocast(self.context.device):
                    loss = self._loss(ids) / self.passes
                loss.backward()
            total += loss.detach()
        return total

    def _alone(self, wanted: bool):  # type: ignore[no-untyped-def]
        return self._loss.no_sync() if wanted and isinstance(self._loss, DistributedDataParallel) else nullcontext()


class _Loss(nn.Module):
    """The loss as a forward pass, which is what DistributedDataParallel hooks into."""

    def __init__(self, model: GPTS) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.loss(ids)


def adamw(model: GPTS) -> torch.optim.AdamW:
    """AdamW that decays every matrix, the tied embedding included, and no norm's weight."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    norms = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK, betas=BETAS, fused=True)

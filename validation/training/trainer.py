"""Trains a model with the published recipe of GPT-S-5M, one step at a time.

    step k     trains on windows k x batch .. (k + 1) x batch of the training order, divided evenly among the processes;
               each process adds up the gradients of its micro-batches; the gradient is clipped; AdamW updates the
               weights at the schedule's learning rate

The position in the data follows from the step alone, so a run resumed from a checkpoint reads on where it stopped.
Parameters and optimizer state are float32; on a GPU matrix products are bfloat16, on an old one float16.

A step whose gradient is not finite (NaN or infinite) changes neither weights nor optimizer state.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.model.model import GPTS
from gpts_data.validation.training.attention import attention_kernel, fastest_attention
from gpts_data.validation.training.batches import BatchReader
from gpts_data.validation.training.device import (
    DistributedContext,
    autocast,
    can_compile,
    compute_dtype,
    micro_batch_tokens,
)
from gpts_data.validation.training.lr_schedule import PEAK, LearningRateSchedule

BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.01
CLIP = 1.0


class Update:
    """A step that has been started; on a GPU it may still be running."""

    def __init__(self, step: int, rate: float, loss: Tensor, gradient_norm: Tensor) -> None:
        """`step` is counted from 1. `loss` and `gradient_norm` are scalars on the device; their copy starts here."""
        self.step = step
        self.rate = rate
        self._copied = torch.cuda.Event() if loss.is_cuda else None  # type: ignore[no-untyped-call]
        values = torch.stack((loss, gradient_norm))
        self._values = torch.empty(2, pin_memory=loss.is_cuda).copy_(values, non_blocking=True)
        if self._copied:
            self._copied.record()

    def read(self) -> tuple[float, bool]:
        """Wait for the step to end. Returns its loss in nats per token and whether the gradient was finite."""
        if self._copied:
            self._copied.synchronize()
        loss, gradient_norm = self._values.tolist()
        return loss, math.isfinite(loss) and math.isfinite(gradient_norm)


class Trainer:
    """A model, its optimizer and the number of steps they have done.

    Attributes:
        step: Steps done so far.
        passes: Micro-batches of this process per step.
        pass_windows: Windows of a micro-batch; some have one less.
        attention: The attention kernel; None where torch chooses.
        compiled: Whether the first step compiles the model, which takes half a minute.
        scaler: Makes a step do nothing when its gradient is not finite, without waiting for the GPU. With float16 it
            also multiplies the loss by a scale that halves at such a step, since small gradients would be 0 in float16.
    """

    def __init__(
        self,
        model: GPTS,
        mix: Mix,
        schedule: LearningRateSchedule,
        context: DistributedContext,
        tokens_per_pass: int | None = None,
    ) -> None:
        """Move the model to the device of `context`. `tokens_per_pass` is a maximum; by default memory decides.

        Raises `UsageError` when the batch cannot be divided evenly among the processes.
        """
        process_batch, rest = divmod(schedule.batch, context.world)
        if rest:
            raise UsageError(
                f"a batch of {schedule.batch} windows for {context.world} processes: expected a number of processes "
                "that divides the batch; start torchrun with another --nproc-per-node"
            )
        tokens_per_pass = tokens_per_pass or micro_batch_tokens(model.config, context.device)
        self.passes = -(-process_batch // max(tokens_per_pass // mix.window, 1))
        self.pass_windows = -(-process_batch // self.passes)
        self.model = model.to(context.device)
        self.order = TrainingOrder(mix)
        self.schedule = schedule
        self.context = context
        self.optimizer = adamw(model)
        self.step = 0
        self.scaled = compute_dtype(context.device) == torch.float16
        self.scaler = torch.amp.GradScaler(context.device.type, init_scale=2.0**16 if self.scaled else 1.0)
        self.attention = fastest_attention(model.config, context.device)
        self.compiled = can_compile(context.device)
        # Micro-batches have at most two sizes, and a graph for each is faster than one for any size.
        loss = _Loss(model, mix.window, mix.eos_id if mix.is_packed else None)
        if self.compiled:
            loss = torch.compile(loss, dynamic=False)  # type: ignore[assignment]
        self._loss = loss if context.world == 1 else DistributedDataParallel(loss)
        self._batches = BatchReader(self.order, schedule.batch, schedule.steps, context)

    def update(self) -> Update:
        """Start the next step. Its loss is that of its batch before the update. Nothing here waits for a GPU."""
        rate = self.schedule.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.context.mean(self._gradients())
        self.scaler.unscale_(self.optimizer)  # notes whether an element of the gradient is not finite
        gradient_norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.scaler.step(self.optimizer)
        self.scaler.update(None if self.scaled else 1.0)
        self.optimizer.zero_grad()
        self.step += 1
        return Update(self.step, rate, loss, gradient_norm)

    def _gradients(self) -> Tensor:
        """Add up the gradients of the micro-batches and return their mean loss.

        The processes exchange gradients once per step, with the last micro-batch.
        """
        total = torch.zeros((), device=self.context.device)
        windows = self._batches.read(self.step)
        for number, ids in enumerate(windows.tensor_split(self.passes), start=1):
            with self._gradient_exchange(number == self.passes):
                with autocast(self.context.device), attention_kernel(self.attention):
                    loss = self._loss(ids) * (len(ids) / len(windows))
                self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _gradient_exchange(self, enabled: bool) -> AbstractContextManager[object]:
        if enabled or not isinstance(self._loss, DistributedDataParallel):
            return nullcontext()
        return self._loss.no_sync()  # type: ignore[no-any-return, no-untyped-call, unused-ignore]


class _Loss(nn.Module):
    """The loss as a forward pass, because DistributedDataParallel hooks into `forward`.

    RoPE's cos and sin are computed once: in a compiled graph each kernel that rotates would compute them again.
    """

    def __init__(self, model: GPTS, window: int, padding_id: int | None = None) -> None:
        super().__init__()
        self.model = model
        self._padding_id = padding_id
        self._angles = model.angles(torch.arange(window, device=next(model.parameters()).device))

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.loss(ids, self._angles, self._padding_id)


def adamw(model: GPTS) -> torch.optim.AdamW:
    """Return AdamW with weight decay on every matrix, including the tied embedding, but not on the norms' weights."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    norms = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK, betas=BETAS, fused=True)

"""The proxy model: a GPT-S that is trained again and again from new parameters, and compiled once.

    steps   0 ── warm-up ── constant rate ──────────────┬──────────────────┬───────────────────────────┐
                                                        └ decay, measured  └ decay, measured           └ decay, measured
                                              a quarter of the steps    half of them               all of them

A run is a trunk at a constant rate. Before each of three horizons its rate decays to 0 within the last fifth of the
steps; there the model is measured, and the trunk goes on from where the decay began (WSD; Haegele et al., arXiv
2405.18392). So one run gives three models, each of which has read exactly a prefix of the run's order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from gpts_data.pipelines.errors import GptsDataError, UsageError
from gpts_data.validation.model.model import GPTS, GPTSConfig
from gpts_data.validation.search.proxies.targets import Rows
from gpts_data.validation.training.attention import attention_kernel, fastest_attention
from gpts_data.validation.training.device import autocast, can_compile, compute_dtype, micro_batch_tokens
from gpts_data.validation.training.lr_schedule import BATCH_TOKENS, PEAK, wsd
from gpts_data.validation.training.trainer import CLIP, adamw

HORIZONS = (4, 2, 1)  # the run is measured after its steps divided by these
DECAY = 0.2  # of the steps up to a horizon
WARMUP = 0.05  # of the steps of a run
STEPS = 488  # of 128M tokens in batches of GPT-S's 262,144; a shorter run has as many, of smaller batches
HEAD_DIM = 32


@dataclass(frozen=True)
class RunLength:
    """Steps and batch of a run."""

    steps: int
    """A multiple of 4."""
    batch: int
    """Windows per step."""

    @property
    def windows(self) -> int:
        """Windows of the whole run."""
        return self.steps * self.batch

    @property
    def horizons(self) -> tuple[tuple[int, int], ...]:
        """For each horizon, the step at which its decay begins and the step at which it ends."""
        ends = [self.steps // part for part in HORIZONS]
        return tuple((end - max(round(DECAY * end), 1), end) for end in ends)

    @property
    def trained_steps(self) -> int:
        """Steps that a run computes, those of its decays included."""
        branches = sum(end - start for start, end in self.horizons)
        return self.horizons[-1][0] + branches

    def rate(self, step: int, end: int) -> float:
        """The learning rate of a step, counted from 0, in the branch that ends at step `end`."""
        start = next(start for start, other in self.horizons if other == end)
        return wsd(step, end, PEAK, round(WARMUP * self.steps), decay_from=start / end)


def run_length(tokens: int, window: int, batch: int | None = None) -> RunLength:
    """The steps of a run of `tokens` tokens; `batch` is that of the shorter runs it is compared with.

    Raises `UsageError` for fewer than four windows.
    """
    windows = tokens // window
    if windows < 4:
        raise UsageError(f"a run of {tokens:,} tokens has {windows} windows of {window}; expected at least 4")
    batch = batch or max(min(windows // STEPS, BATCH_TOKENS // window), 1)
    return RunLength(max(windows // batch // 4, 1) * 4, batch)


def describe_length(length: RunLength, window: int, tokens: int) -> str:
    """The length of a run in words, and by how much it is below the `tokens` that were asked for."""
    trained = length.windows * window
    rounded = f" of the {tokens:,} asked for" if trained < tokens else ""
    return f"{length.steps:,} steps of {length.batch * window:,} tokens, {trained:,}{rounded}"


def proxy_config(layers: int, width: int, vocab_size: int, window: int) -> GPTSConfig:
    """The sizes of a GPT-S of `layers` layers of `width`, in the proportions of GPT-S-5M (9 layers of 192).

    Raises `UsageError` for a width that is no multiple of 32.
    """
    if width % HEAD_DIM or width < HEAD_DIM:
        raise UsageError(f"--width {width}: expected a multiple of {HEAD_DIM}, the width of an attention head")
    heads = width // HEAD_DIM
    kv_heads = heads // 3 if heads % 3 == 0 else 1
    ffn = width * 7 // 2
    return GPTSConfig(vocab_size, width, layers, heads, kv_heads, HEAD_DIM, ffn, context=window)


class Proxy:
    """One model on one device, with its optimizer."""

    def __init__(self, config: GPTSConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.model = GPTS(config).to(device)
        self._angles = self.model.angles(torch.arange(config.context, device=device))
        self._loss = torch.compile(self.model.loss, dynamic=False) if can_compile(device) else self.model.loss
        self._attention = fastest_attention(config, device)
        self._pass_windows = max(micro_batch_tokens(config, device) // config.context, 1)
        self._scaled = compute_dtype(device) == torch.float16
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Begin a new run: draw the parameters anew, on the CPU, so that they are the same for every device."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = GPTS(self.config)
        self.model.load_state_dict(fresh.state_dict())  # copies into the parameters that were compiled
        self.optimizer = adamw(self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, init_scale=2.0**16 if self._scaled else 1.0)

    def step(self, windows: Tensor, rate: float) -> None:
        """Train on a batch: int64, shape (windows, window), on the device. A gradient that is not finite is skipped."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for ids in windows.tensor_split(-(-len(windows) // self._pass_windows)):
            with autocast(self.device), attention_kernel(self._attention):
                loss = self._loss(ids, self._angles) * (len(ids) / len(windows))
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.scaler.step(self.optimizer)
        self.scaler.update(None if self._scaled else 1.0)
        self.optimizer.zero_grad()

    @contextmanager
    def branch(self) -> Iterator[None]:
        """After the block, parameters and optimizer are as they were before it."""
        parameters = list(self.model.parameters())
        values = [parameter.detach().clone() for parameter in parameters]
        moments = [
            {key: value.clone() for key, value in self.optimizer.state[parameter].items()} for parameter in parameters
        ]
        yield
        with torch.no_grad():
            for parameter, value, state in zip(parameters, values, moments, strict=True):
                parameter.copy_(value)
                self.optimizer.state[parameter] = state

    @torch.inference_mode()
    def bits_per_byte(self, rows: Rows, id_bytes: NDArray[np.int64]) -> float:
        """The loss on the counted ids of `rows`, in bits per byte of their text.

        id_bytes: bytes of text of each id, shape (vocabulary,). Raises `GptsDataError` when it is not finite.
        """
        nats = 0.0
        n_rows = max(self._pass_windows * self.config.context // rows.ids.shape[1], 1)
        for start in range(0, len(rows.ids), n_rows):
            ids = torch.from_numpy(rows.ids[start : start + n_rows].astype(np.int64)).to(self.device)
            counted = torch.from_numpy(rows.counted[start : start + n_rows, 1:]).to(self.device)
            with autocast(self.device):
                logits = self.model(ids).float()
            losses = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
            nats += float(losses[counted.flatten()].double().sum())
        n_bytes = int((id_bytes[rows.ids] * rows.counted).sum())
        bits = nats / math.log(2) / max(n_bytes, 1)
        if not math.isfinite(bits):
            raise GptsDataError("the loss of a proxy run is not finite: the training diverged")
        return bits


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Compute with one thread on a CPU, whose sums depend on the number of threads; a search runs several processes."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)

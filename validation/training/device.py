"""The devices of a run: their number format, how much of their peak speed is used, and the processes of a torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gpts_data.validation.model.model import GPTSConfig

T = TypeVar("T")
CPU_TOKENS = 2048  # per pass; fit the memory and caches of a laptop
BYTES_PER_TOKEN = 82_000  # of a pass of GPT-S-5M: 21.6 GB for 262,144 tokens
PEAKS = {  # dense bfloat16 FLOP/s from the vendors' data sheets; the first key that is part of the device's name counts
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}


@dataclass(frozen=True)
class DistributedContext:
    """This process among the `world` processes that train one model; rank 0 writes the files."""

    rank: int
    world: int
    device: torch.device

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a scalar over all processes. May change `value` in place."""
        if self.world > 1:
            dist.all_reduce(value)
            value /= self.world
        return value

    def broadcast_from_rank0(self, value: T | None) -> T:
        """Return the `value` of rank 0 in every process."""
        values = [value]
        if self.world > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value]


def device_kind(device: str | None = None) -> str:
    """Return `device` if it is given, else "cuda" where a GPU is available and "cpu" elsewhere."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def distributed_context(device: str | None = None) -> Iterator[DistributedContext]:
    """Join the process group of a torchrun, by NCCL on GPUs and gloo on CPUs; without torchrun the process is alone.

    `device` is "cuda" or "cpu"; the default is "cuda" where a GPU is available. Each process of a torchrun
    takes its own GPU.
    """
    kind = device_kind(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield DistributedContext(0, 1, torch.device(kind))
        return
    local_device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)
    if local_device.type == "cuda":
        torch.cuda.set_device(local_device)
    dist.init_process_group("nccl" if local_device.type == "cuda" else "gloo")
    try:
        yield DistributedContext(dist.get_rank(), world, local_device)
    finally:
        dist.destroy_process_group()


def compute_dtype(device: torch.device) -> torch.dtype:
    """Return the number format of matrix products: bfloat16 on a GPU, float16 on one without bfloat16, else float32.

    GPUs have bfloat16 from compute capability 8.0; the T4 of free notebooks has 7.5. Few CPUs are fast with bfloat16.
    """
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def can_compile(device: torch.device) -> bool:
    """Return whether to use torch.compile: its compiler, Triton, needs a GPU of compute capability 7.0.

    On a CPU, compiling takes a minute and saves 5%.
    """
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Compute matrix products in `compute_dtype`."""
    dtype = compute_dtype(device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def micro_batch_tokens(config: GPTSConfig, device: torch.device) -> int:
    """Return how many tokens one forward and backward pass may hold: on a GPU, those that fit 70% of its free memory.

    Measured for GPT-S-5M on an H200: 82 kB per token. GPUs without bfloat16 have no flash attention either: there the
    scores of all heads are stored, which is taken to need 12 bytes per score.
    """
    if device.type != "cuda":
        return CPU_TOKENS
    n_bytes = BYTES_PER_TOKEN * config.layers * config.width / (9 * 192)
    if compute_dtype(device) == torch.float16:
        n_bytes += 12 * config.layers * config.heads * config.context
    free, _ = torch.cuda.mem_get_info(device)
    return int(0.7 * free / n_bytes)


def flops_per_token(config: GPTSConfig, parameters: int) -> float:
    """Return the FLOPs of a forward and a backward pass per token: 6 N + 12 L H D T/2.

    PaLM's count (Chowdhery et al., arXiv 2204.02311, appendix B), with the mean length T/2 that causal attention sees
    instead of T. The tied embedding counts once, as the output matrix. GPT-S-5M: 36.3 million.
    """
    attention = 12 * config.layers * config.heads * config.head_dim * config.context / 2
    return 6 * parameters + attention


def model_flops_utilization(
    config: GPTSConfig, parameters: int, tokens_per_second: float, context: DistributedContext
) -> float | None:
    """Return the FLOP/s that the model needs as a share of the devices' peak; None when the peak is not known."""
    name = torch.cuda.get_device_name(context.device) if context.device.type == "cuda" else ""
    peak = next((flops for key, flops in PEAKS.items() if key in name), None)
    return tokens_per_second * flops_per_token(config, parameters) / (peak * context.world) if peak else None

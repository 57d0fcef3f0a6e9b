"""What trains: the device's precision, its speed beside what it could do, and the processes of a torchrun."""

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
PEAKS = {  # dense bfloat16 FLOP/s of the vendor's data sheets, by a part of the device's name; the first that fits
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "RTX 4090": 165e12,
}


@dataclass(frozen=True)
class DistributedContext:
    """This process among `world` that train one model; alone without torchrun. Process 0 writes the files."""

    rank: int
    world: int
    device: torch.device

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes of one number of each."""
        if self.world > 1:
            dist.all_reduce(value)
            value /= self.world
        return value

    def broadcast_from_rank0(self, value: T | None) -> T:
        """Process 0's `value`, in all."""
        values = [value]
        if self.world > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value]


@contextmanager
def processes(device: str | None = None) -> Iterator[DistributedContext]:
    """Join the processes that torchrun has started, on GPUs by NCCL, on CPUs by gloo; alone, nothing is joined.

    `device` is a GPU where there is one, else the CPU; of several GPUs each process takes its own.
    """
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield DistributedContext(0, 1, torch.device(kind))
        return
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if kind == "cuda" else torch.device(kind)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield DistributedContext(dist.get_rank(), world, own)
    finally:
        dist.destroy_process_group()


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 products on a GPU; float32 on a CPU, where few have fast bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def flops_per_token(config: GPTSConfig, parameters: int) -> float:
    """Of a forward and a backward pass: 6 N + 12 L H D T/2.

    PaLM's count (Chowdhery et al., arXiv 2204.02311, appendix B), with the mean length T/2 that causal attention sees
    instead of T. The tied embedding counts once, as the output matrix. GPT-S-5M: 36.3 million.
    """
    attention = 12 * config.layers * config.heads * config.head_dim * config.context / 2
    return 6 * parameters + attention


def model_flops_utilization(
    config: GPTSConfig, parameters: int, tokens_per_second: float, at: DistributedContext
) -> float | None:
    """FLOP/s that the model needs / FLOP/s that the devices could do; None for a device whose peak is not known."""
    name = torch.cuda.get_device_name(at.device) if at.device.type == "cuda" else ""
    peak = next((flops for part, flops in PEAKS.items() if part in name), None)
    return tokens_per_second * flops_per_token(config, parameters) / (peak * at.world) if peak else None

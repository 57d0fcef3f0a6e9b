"""Which attention kernel a GPU runs fastest: measured, since it depends on the GPU, the sizes and the libraries."""

from __future__ import annotations

import time
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from gpts_data.validation.model.model import GPTSConfig
from gpts_data.validation.training.device import compute_dtype

CANDIDATES = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
TOKENS = 65_536  # per run: enough to fill the GPU
RUNS = 5


def fastest_attention(config: GPTSConfig, device: torch.device) -> SDPBackend | None:
    """Return the kernel with the fastest forward and backward pass; None on a CPU, where torch chooses."""
    if device.type != "cuda":
        return None
    seconds: dict[SDPBackend, float] = {}
    for backend in CANDIDATES:
        with suppress(RuntimeError):  # this GPU, or this version of torch, does not have it
            seconds[backend] = _measure(backend, config, device)
    return min(seconds, key=seconds.__getitem__, default=None)


def attention_kernel(backend: SDPBackend | None) -> AbstractContextManager[object]:
    """Use this kernel for attention within a `with` block."""
    return nullcontext() if backend is None else sdpa_kernel(backend)


def _measure(backend: SDPBackend, config: GPTSConfig, device: torch.device) -> float:
    """Return seconds of RUNS forward and backward passes of a layer's attention. Raises `RuntimeError` without it."""
    windows = max(TOKENS // config.context, 1)
    query, key, value = (
        torch.randn(
            (windows, heads, config.context, config.head_dim),
            dtype=compute_dtype(device),
            device=device,
            requires_grad=True,
        )
        for heads in (config.heads, config.kv_heads, config.kv_heads)
    )
    start = 0.0
    with warnings.catch_warnings(), sdpa_kernel(backend):
        warnings.simplefilter("ignore")  # torch explains why a kernel cannot be used
        for run in range(RUNS + 1):
            if run == 1:  # the first run loads the kernel
                torch.cuda.synchronize(device)
                start = time.perf_counter()
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
            torch.autograd.grad(mixed, (query, key, value), torch.ones_like(mixed))
        torch.cuda.synchronize(device)
    return time.perf_counter() - start

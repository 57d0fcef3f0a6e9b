"""Bits per byte of held-out text: a loss that does not depend on the tokenizer, by source."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from gpts_data.mixer.mix import Mix
from gpts_data.validation.device import autocast
from gpts_data.validation.model import GPTS

VALIDATION_WINDOWS = 64  # per source: some 33,000 tokens, about 10 s on two cores


@torch.inference_mode()
def bits_per_byte(
    model: GPTS, mix: Mix, source: str, id_bytes: NDArray[np.int64], batch_size: int
) -> float | None:  # fmt: skip
    """Nats over all targets of the source's held-out windows / ln 2 / bytes of the targets; None without any byte."""
    windows = mix.validation(source)[:VALIDATION_WINDOWS].astype(np.int64)
    n_bytes = int(id_bytes[windows[:, 1:]].sum())  # the first id of a window is never a target
    device = next(model.parameters()).device
    nats = 0.0
    for start in range(0, len(windows), batch_size):
        ids = torch.from_numpy(windows[start : start + batch_size]).to(device)
        with autocast(device):
            nats += model.loss(ids).item() * ids[:, 1:].numel()
    return nats / math.log(2) / n_bytes if n_bytes else None

"""A mix as torch batches, in the training order, and the entropy of its ids."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import DataError
from gpts_data.validation.model.model import GPTS
from gpts_data.validation.training.device import autocast

CHUNK = 1 << 22  # ids counted at once: bincount makes int64 of them, 32 MB


def unigram_entropy(mix: Mix, max_tokens: int = 2**29) -> float:
    """Entropy in nats of the ids' frequencies: the loss of the best model that ignores all context.

    Of the first `max_tokens` ids; a mix is shuffled, so 2^29 of 25B are a fair sample (1 GB of reading).
    Raises `DataError` when there are no ids or one is outside the vocabulary.
    """
    counts = np.zeros(mix.vocab_size, dtype=np.int64)
    for chunk in _chunks(mix, max_tokens):
        found = np.bincount(chunk, minlength=len(counts))
        if len(found) > len(counts):
            raise DataError(
                f"{mix.path}: found id {len(found) - 1}, expected ids below {mix.vocab_size}; run gpts-data verify"
            )
        counts += found
    if not counts.any():
        raise DataError(f"{mix.path}: the shards hold no ids")
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _chunks(mix: Mix, max_tokens: int) -> Iterator[NDArray[np.uint16]]:
    """The first `max_tokens` ids of the training order, at most CHUNK at a time."""
    left = max_tokens
    for number in range(len(mix.shards)):
        ids = mix.shard(number).ravel()
        for start in range(0, min(len(ids), left), CHUNK):
            yield ids[start : min(start + CHUNK, left)]
        left = max(left - len(ids), 0)


VALIDATION_WINDOWS = 64  # per source: some 33,000 tokens, about 10 s on two cores


@torch.inference_mode()
def bits_per_byte(model: GPTS, mix: Mix, source: str, id_bytes: NDArray[np.int64], batch_size: int) -> float | None:
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

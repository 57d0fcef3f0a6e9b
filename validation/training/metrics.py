"""What a training run is measured by: the unigram entropy of the mix and bits per byte on held-out documents.

A model that learned from context has a loss below the unigram entropy. Bits per byte do not depend on the tokenizer, so
they compare models with different vocabularies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import DataError
from gpts_data.tokenizer.artifact import TokenIds
from gpts_data.validation.model.model import GPTS
from gpts_data.validation.training.device import autocast

CHUNK = 1 << 22  # ids counted at a time: bincount converts them to int64, 32 MB
VALIDATION_WINDOWS = 64  # per source: about 33,000 tokens, 10 s on two CPU cores


def unigram_entropy(mix: Mix, max_tokens: int = 2**29) -> float:
    """Return the entropy of the token frequencies in nats: the loss of the best model that ignores all context.

    It counts the first `max_tokens` tokens. Since a mix is shuffled, 2^29 of 25B tokens are a fair sample (1 GB).
    Raises `DataError` when there are no tokens, or an id is outside of the vocabulary.
    """
    counts = np.zeros(mix.vocab_size, dtype=np.int64)
    for chunk in _chunks(mix, max_tokens):
        chunk_counts = np.bincount(chunk, minlength=len(counts))
        if len(chunk_counts) > len(counts):
            raise DataError(
                f"{mix.path}: found id {len(chunk_counts) - 1}, expected ids below {mix.vocab_size}; "
                "run gpts-data verify"
            )
        counts += chunk_counts
    if not counts.any():
        raise DataError(f"{mix.path}: the shards hold no ids; run gpts-data verify")
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log(share)).sum())


def _chunks(mix: Mix, max_tokens: int) -> Iterator[TokenIds]:
    """Yield the first `max_tokens` ids of the training order, at most CHUNK at a time."""
    left = max_tokens
    for number in range(len(mix.shards)):
        ids = mix.shard(number).ravel()
        for start in range(0, min(len(ids), left), CHUNK):
            yield ids[start : min(start + CHUNK, left)]
        left = max(left - len(ids), 0)


@torch.inference_mode()
def bits_per_byte(model: GPTS, mix: Mix, source: str, id_bytes: NDArray[np.int64], batch_size: int) -> float | None:
    """Return the loss on a source's held-out documents in bits per byte of text; None when there is no text.

    It is the loss in nats, summed over all targets of the first VALIDATION_WINDOWS windows, / ln 2 / the bytes of these
    targets. `id_bytes` has the bytes of text of each id, shape (vocabulary,).
    """
    windows = mix.validation(source)[:VALIDATION_WINDOWS].astype(np.int64)
    n_bytes = int(id_bytes[windows[:, 1:]].sum())  # the first id of a window is never a target
    device = next(model.parameters()).device
    nats = 0.0
    for start in range(0, len(windows), batch_size):
        ids = torch.from_numpy(windows[start : start + batch_size]).to(device)
        with autocast(device):
            nats += model.loss(ids).item() * ids[:, 1:].numel()
    return nats / math.log(2) / n_bytes if n_bytes else None

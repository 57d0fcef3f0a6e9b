"""A mix as torch batches, in the training order, and the entropy of its ids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.mix import Mix
from gpts_data.pipelines.errors import DataError

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

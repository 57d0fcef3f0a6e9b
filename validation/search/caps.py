"""The largest weight of each source, so that none is repeated more often than allowed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import ShortSourceError

Floats = NDArray[np.float64]


def weight_caps(names: Sequence[str], recipe: Floats, supply: Sequence[int], tokens: int, max_epochs: float) -> Floats:
    """The largest weight of each source in a mix of `tokens` tokens: min(1, max_epochs x supply / tokens).

    `supply` holds the tokens of each source. More than 4 epochs add less and less (Muennighoff et al. 2023, arXiv
    2305.16264). Raises `ShortSourceError` when a weight of the recipe itself, which sums to 1, is above its cap.
    """
    caps = np.minimum(1.0, max_epochs * np.array(supply, np.float64) / tokens)
    for name, weight, cap, available in zip(names, recipe, caps, supply, strict=True):
        if weight > cap * (1 + 1e-9):
            raise ShortSourceError(
                f"source {name!r}: a weight of {weight:.2%} of {tokens:,} tokens repeats its {available:,} tokens "
                f"{weight * tokens / max(available, 1):.1f} times, more than {max_epochs:g}; lower its weight, give it "
                f"more files, or allow more epochs"
            )
    return caps


def limit_weights(weights: Floats, caps: Floats) -> Floats:
    """Weights of the form min(caps, x * weights), with the one x for which they sum to 1.

    Among all weights below the caps, these have the smallest KL divergence to `weights`. `weights` must be above 0 in
    sources whose caps sum to 1 or more.
    """
    limited = np.zeros_like(weights)
    free = weights > 0
    while free.any():
        scaled = weights * (1 - limited[~free].sum()) / weights[free].sum()
        over = free & (scaled > caps)
        if not over.any():
            return np.where(free, scaled, limited)
        limited[over] = caps[over]
        free &= ~over
    return limited

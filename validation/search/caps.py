"""The largest and the least weight of each source, and weights rounded so that they keep to both."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import ShortSourceError

Floats = NDArray[np.float64]

UNITS = 10_000  # weights are multiples of 1/UNITS, so that files and schedules hold the same numbers


def weight_caps(
    names: Sequence[str], recipe: Floats, supply: Sequence[int], tokens: int, max_epochs: float | Sequence[float]
) -> Floats:
    """The largest weight of each source in a mix of `tokens` tokens: min(1, max_epochs x supply / tokens).

    `supply` holds the tokens of each source; `max_epochs` is one number, or one for each source. More than 4 epochs add
    less and less (Muennighoff et al. 2023, arXiv 2305.16264). Raises `ShortSourceError` when a weight of the recipe
    itself, which sums to 1, is above its cap, or a cap is below 1/UNITS.
    """
    epochs = np.broadcast_to(np.array(max_epochs, np.float64), len(names))
    caps = np.minimum(1.0, epochs * np.array(supply, np.float64) / tokens)
    for name, weight, cap, available, most in zip(names, recipe, caps, supply, epochs, strict=True):
        if weight > cap * (1 + 1e-9):
            raise ShortSourceError(
                f"source {name!r}: a weight of {weight:.2%} of {tokens:,} tokens repeats its {available:,} tokens "
                f"{weight * tokens / max(available, 1):.1f} times, more than {most:g}; lower its weight, give it "
                f"more files, or allow more epochs"
            )
        if cap < 1 / UNITS:
            raise ShortSourceError(
                f"source {name!r}: its {available:,} tokens allow a weight of {cap:.4%} of {tokens:,} tokens, expected "
                f"{1 / UNITS:.2%} or more; give it more files, or remove it from the recipe"
            )
    return caps


def least_weight(windows: int) -> float:
    """The least weight, a multiple of 1/UNITS, with which a source gets a window of a mix of `windows` windows."""
    return ceil(UNITS / windows) / UNITS


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


def round_weights(weights: Floats, caps: Floats) -> Floats:
    """Weights rounded to multiples of 1/UNITS that sum to 1 and do not exceed `caps`, by the largest-remainder method.

    A weight that is a multiple does not become smaller. Caps rounded down to multiples must sum to 1 or more.
    """
    whole_caps = np.floor(caps * UNITS + 1e-9)
    exact = limit_weights(weights, whole_caps / UNITS) * UNITS
    units = np.floor(exact + 1e-6)
    missing = round(UNITS - units.sum())  # as many as there are remainders at least, so no cap is exceeded
    units[np.argsort(units - exact, kind="stable")[:missing]] += 1
    return np.asarray(units / UNITS)

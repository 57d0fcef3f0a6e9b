"""How many windows each source gets: the largest-remainder method in exact arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import floor, gcd, lcm

from gpts_data.pipelines.errors import RecipeError


def total_windows(tokens: int, window: int) -> int:
    """`tokens / window` rounded half up: 25e9 tokens are 48,828,125 windows of 512, 12e6 are 23,438."""
    return (2 * tokens + window) // (2 * window)


def whole_weights(weights: Sequence[float]) -> tuple[int, ...]:
    """The weights as the smallest whole numbers with the same proportions: (0.55, 0.3, 0.15) becomes (11, 6, 3)."""
    exact = [Fraction(str(weight)) for weight in weights]
    scale = lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * scale) for weight in exact]
    return tuple(weight // gcd(*whole) for weight in whole)


def share(windows: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Divide `windows` by weight with the largest-remainder method (Hamilton).

    Each source gets its exact share rounded down, and those with the largest remainders one window more; of equal
    remainders the earlier source comes first. Every result is less than one window away from the exact share.
    """
    total = sum(weights)
    shares = [windows * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(windows * weights[i] % total), i))
    for i in by_remainder[: windows - sum(shares)]:
        shares[i] += 1
    return tuple(shares)


def budget(tokens: int, window: int, names: Sequence[str], weights: Sequence[float]) -> tuple[int, ...]:
    """The number of windows of each source, in the order of `names`.

    Raises `RecipeError` when a weight is not above zero or a source would get no window.
    """
    for name, weight in zip(names, weights, strict=True):
        if not weight > 0:
            raise RecipeError(f"source {name!r}: weight = {weight}, expected a number above 0; or remove the source")
    windows = total_windows(tokens, window)
    shares = share(windows, whole_weights(weights))
    for name, weight, source_windows in zip(names, weights, shares, strict=True):
        if source_windows == 0:
            min_tokens = floor(window * sum(map(Fraction, map(str, weights))) / Fraction(str(weight))) + 1
            raise RecipeError(
                f"source {name!r}: weight {weight} of {sum(weights):g} gives it no window of the {windows:,} that "
                f"{tokens:,} tokens make; ask for at least {min_tokens:,} tokens, or raise its weight"
            )
    return shares

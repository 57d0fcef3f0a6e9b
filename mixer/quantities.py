"""Quantities as people write them: `25B` tokens, `64MB`, `1GiB`; and times as they read them: `12 s`, `3 h 05 min`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MULTIPLES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_BYTE_MULTIPLES = {**_MULTIPLES, **{f"{unit}B": n for unit, n in _MULTIPLES.items() if unit not in ("", "B")}}
_BYTE_MULTIPLES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_MAX_CHARACTERS = 40  # int() refuses 4,300 digits with a message of its own, and fewer take it long
_MAX = 2**63 - 1  # numpy and Arrow count in 64 bits


def parse_quantity(text: str | int | float, multiples: Mapping[str, int] = _MULTIPLES) -> int:
    """Parse `25B`, `2.5M`, `300k` or `12_000` as a whole number from 1 to 2^63 - 1. Raises ValueError."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        if not 0 < text <= _MAX:  # also of NaN
            raise ValueError(text)
        number, unit = str(text), ""
    else:
        if len(str(text)) > _MAX_CHARACTERS:
            raise ValueError(text)
        match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)", str(text).strip())
        if not match or match[2].upper() not in multiples:
            raise ValueError(text)
        number, unit = match[1].replace("_", ""), match[2].upper()
    exact = "." not in number and "e" not in number  # a float would lose digits above 2**53
    quantity = int(number) * multiples[unit] if exact else round(float(number) * multiples[unit])
    if not 0 < quantity <= _MAX:
        raise ValueError(text)
    return quantity


def parse_until(text: str | int | float) -> float:
    """Parse the end of a stage: a share of the tokens above 0 and below 1, or tokens as `parse_quantity`. Raises
    ValueError."""
    try:
        share = float(text)
    except ValueError:  # 5B
        share = 1.0
    return share if 0 < share < 1 and not isinstance(text, bool) else parse_quantity(text)


def parse_bytes(text: str | int | float) -> int:
    """Parse a number of bytes: `64MB`, `1GiB`, or as `parse_quantity`. Raises ValueError."""
    return parse_quantity(text, _BYTE_MULTIPLES)


def format_duration(seconds: float) -> str:
    """Return `119 s`, `2 min`, `2 h 05 min`: as exact as an estimate is."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"

"""Quantities as people write them: `25B` tokens, `64MB`, `1GiB`."""

from __future__ import annotations

import re
from collections.abc import Mapping

_MULTIPLES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_BYTE_MULTIPLES = {**_MULTIPLES, **{f"{unit}B": n for unit, n in _MULTIPLES.items() if unit not in ("", "B")}}
_BYTE_MULTIPLES |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


def parse_quantity(text: str | int | float, multiples: Mapping[str, int] = _MULTIPLES) -> int:
    """Parse `25B`, `2.5M`, `300k` or `12_000` as a whole number above 0. Raises ValueError."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        number, unit = str(text), ""
    else:
        match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)", str(text).strip())
        if not match or match[2].upper() not in multiples:
            raise ValueError(text)
        number, unit = match[1].replace("_", ""), match[2].upper()
    exact = "." not in number and "e" not in number  # a float would lose digits above 2**53
    quantity = int(number) * multiples[unit] if exact else round(float(number) * multiples[unit])
    if quantity <= 0:
        raise ValueError(text)
    return quantity


def parse_bytes(text: str | int | float) -> int:
    """Parse a number of bytes: `64MB`, `1GiB`, or as `parse_quantity`. Raises ValueError."""
    return parse_quantity(text, _BYTE_MULTIPLES)

"""Quantities are read as they are written: exactly, with the multiples that people use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.mixer.quantities import format_duration, parse_bytes, parse_quantity


@given(st.integers(1, 10**6), st.sampled_from(["", "k", "K", "M", "B", "T"]))
def test_quantities(number: int, unit: str) -> None:
    factor = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}[unit.upper()]
    assert parse_quantity(f"{number}{unit}") == parse_quantity(f"{number:_} {unit}") == number * factor


def test_bytes() -> None:
    assert [parse_bytes(text) for text in ("64MB", "1GiB", "2.5k", 7)] == [64_000_000, 2**30, 2500, 7]
    for bad in ("-1", "MB", "1e3x", "", "0"):
        with pytest.raises(ValueError):
            parse_bytes(bad)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (121, "2 min"), (7140, "119 min"), (7500, "2 h 05 min")]
)
def test_durations_are_as_exact_as_an_estimate(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text

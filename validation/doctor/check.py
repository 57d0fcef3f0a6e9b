"""The result of one check of the doctor, and how sizes are written in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    ok: bool
    found: str
    wanted: str
    advice: str = ""
    """What to do or to type when the check failed; "" when it passed."""


def check(name: str, ok: bool, found: str, wanted: str, advice: str) -> Check:
    """Return a check that has its advice only if it failed."""
    return Check(name, ok, found, wanted, "" if ok else advice)


def size(n_bytes: int) -> str:
    """Return a number of bytes as text such as `12.3 GB`, in powers of 1,000 like the quantities of a recipe."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:,.1f} {unit}"
    return f"{n_bytes:,} bytes"

"""One line of the doctor's findings, and how its figures are written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """`found` against `wanted`; `advice` is what to type or do next, "" when all is well."""

    name: str
    ok: bool
    found: str
    wanted: str
    advice: str = ""


def check(name: str, ok: bool, found: str, wanted: str, advice: str) -> Check:
    """A check whose advice is kept only for when it fails."""
    return Check(name, ok, found, wanted, "" if ok else advice)


def size(n_bytes: int) -> str:
    """`12.3 GB`, in powers of 1,000 like the recipe's quantities."""
    for name, unit in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if n_bytes >= unit:
            return f"{n_bytes / unit:,.1f} {name}"
    return f"{n_bytes:,} bytes"

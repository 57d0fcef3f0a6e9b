"""How long work tells how far it is: one callback type for the whole package."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with stage, what it works on, how far, done and total (tokens, units or shards), and a word beside it."""

    def __call__(self, stage: str, name: str, done: int, total: int, note: str = "", /) -> object: ...

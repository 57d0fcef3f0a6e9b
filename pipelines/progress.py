"""The callback by which long work reports its progress: one type for the whole package."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called after each step of a stage. Its arguments are positional:

    - `stage`: what is being done, such as "prepare" or "verify";
    - `name`: what it is done to, such as a source; "" when the stage has no parts;
    - `done` and `total`: how much is done, in the stage's own unit (tokens, bytes, units, windows or shards);
    - `note`: a few words to show beside the numbers.
    """

    def __call__(self, stage: str, name: str, done: int, total: int, note: str = "", /) -> object: ...

"""Progress on stderr: bars with rate and ETA on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 10.0
QUIET_SECONDS = 2.0  # what is done sooner needs no word


class Show(Protocol):
    def __call__(self, stage: str, name: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` of a stage, by name where it has parts; `note` instead of the rate."""


@contextmanager
def progress() -> Iterator[Show]:
    """A function to call with every step; draws until the block ends."""
    from rich.console import Console

    console = Console(stderr=True)
    with _said(console):
        if console.is_terminal:
            yield from _bars(console)
        else:
            yield _plain(console.print)


@contextmanager
def _said(console: Console) -> Iterator[None]:
    """What the package logs, such as what it waits for, as lines above the bars."""
    handler = logging.Handler()
    handler.emit = lambda record: console.print(record.getMessage(), style="yellow", markup=False, highlight=False)  # type: ignore[method-assign]
    log = logging.getLogger("gpts_data")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _bars(console: Console) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<28}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rate]:>14}"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[tuple[str, str], tuple[TaskID, float]] = {}

        def show(stage: str, name: str, done: int, total: int, note: str = "") -> None:
            if (stage, name) not in tasks:
                number = bars.add_task(f"{stage} {name}", total=total, rate="")
                tasks[stage, name] = number, time.monotonic()
            number, began = tasks[stage, name]
            rate = done / max(time.monotonic() - began, 1e-9)
            shown = note or (f"{rate:,.0f}/s" if total > 1 else "")
            bars.update(number, completed=min(done, total), total=total, rate=shown)

        yield show


def _plain(write) -> Show:  # type: ignore[no-untyped-def]
    last = began = time.monotonic()

    def show(stage: str, name: str, done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PLAIN_SECONDS or (done >= total and now - began > QUIET_SECONDS):
            last = now
            write(f"{now - began:7.1f}s  {stage} {name}  {done:,} of {total:,}  {note}".rstrip(), highlight=False)

    return show

"""Progress on stderr: bars with rate and ETA on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

from gpts_data.cli.options import VERBOSITY

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 10.0
QUIET_SECONDS = 2.0  # what is done sooner needs no word
RATE_SECONDS = 0.5
LEVELS = {-1: logging.ERROR, 0: logging.INFO, 1: logging.DEBUG}  # of what the package logs: quiet, as it is, verbose
UNITS = {"tokenizer": "bytes/s", "prepare": "tokens/s", "verify": "bytes/s", "export": "windows/s"}


class Show(Protocol):
    def __call__(self, stage: str, name: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` of a stage, by name where it has parts; `note` is shown beside it."""


@contextmanager
def progress() -> Iterator[Show]:
    """A function to call with every step; draws until the block ends."""
    from rich.console import Console

    context = click.get_current_context(silent=True)
    level = context.meta.get(VERBOSITY, 0) if context else 0
    console = Console(stderr=True)
    with _log_lines(console, LEVELS[level]):
        if level < 0:
            yield lambda *_, **__: None
        elif console.is_terminal:
            yield from _bars(console)
        else:
            yield _plain(console.print)


@contextmanager
def _log_lines(console: Console, level: int) -> Iterator[None]:
    """What the package logs, such as what it waits for, as lines above the bars."""
    handler = logging.Handler()
    handler.emit = lambda record: console.print(record.getMessage(), style="yellow", markup=False, highlight=False)  # type: ignore[method-assign]
    log = logging.getLogger("gpts_data")
    before = log.level
    log.addHandler(handler)
    log.setLevel(level)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def _bars(console: Console) -> Iterator[Show]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<21}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[said]:>27}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[tuple[str, str], tuple[TaskID, float]] = {}

        def show(stage: str, name: str, done: int, total: int, note: str = "") -> None:
            if (stage, name) not in tasks:
                number = bars.add_task(f"{stage} {name}", total=total, said="")
                tasks[stage, name] = number, time.monotonic()
            number, began = tasks[stage, name]
            said = "  ".join(filter(None, (note, _rate(stage, done, time.monotonic() - began))))
            bars.update(number, completed=min(done, total), total=total, said=said)

        yield show


def _plain(write) -> Show:  # type: ignore[no-untyped-def]
    last = began = time.monotonic()

    def show(stage: str, name: str, done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PLAIN_SECONDS or (done >= total and now - began > QUIET_SECONDS):
            last = now
            words = f"{stage} {name}", f"{done:,} of {total:,}", note, _rate(stage, done, now - began)
            write(f"{now - began:7.1f}s  {'  '.join(filter(None, words))}", highlight=False)

    return show


def _rate(stage: str, done: int, seconds: float) -> str:
    """`3.6M tokens/s` of the stages that count such things, once there is a rate; the others have tasks."""
    if stage not in UNITS or seconds < RATE_SECONDS:
        return ""
    per_second = done / seconds
    factor, letter = next((f, s) for f, s in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")) if per_second >= f or f == 1)
    return f"{per_second / factor:.{1 if letter else 0}f}{letter} {UNITS[stage]}"

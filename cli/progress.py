"""Progress of a command on stderr: bars in a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from gpts_data.cli.options import VERBOSITY
from gpts_data.cli.terminal import echo, new_console
from gpts_data.pipelines.progress import Progress
from gpts_data.validation.progress_bar import can_draw, draw_bars, ignore_progress, print_lines

if TYPE_CHECKING:
    from rich.console import Console

LEVELS = {-1: logging.ERROR, 0: logging.INFO, 1: logging.DEBUG}  # by verbosity: -q, neither, -v


def announce(text: str) -> None:
    """Print what a command begins to do, unless --quiet. Loading libraries may take seconds before the first bar."""
    if _level() >= 0:
        echo(text, err=True)


def _level() -> int:
    context = click.get_current_context(silent=True)
    return context.meta.get(VERBOSITY, 0) if context else 0


@contextmanager
def progress() -> Iterator[Progress]:
    """The callback that shows the progress of a command, for the length of a `with` block."""
    level = _level()
    console = new_console(stderr=True)
    with _log_lines(console, LEVELS[level]):
        if level < 0:
            yield ignore_progress
        elif can_draw(console):
            yield from draw_bars(console)
        else:
            yield print_lines(console)


@contextmanager
def _log_lines(console: Console, level: int) -> Iterator[None]:
    """Print what the package logs, such as what it is waiting for, as lines above the bars."""
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

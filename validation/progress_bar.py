"""Progress of long work, drawn: bars with rate and remaining time, or a plain line every ten seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from gpts_data.pipelines.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

PLAIN_SECONDS = 10.0
QUIET_SECONDS = 2.0  # what is done sooner needs no line
RATE_SECONDS = 0.5
UNITS = {
    "tokenizer": "bytes/s",
    "prepare": "tokens/s",
    "verify": "bytes/s",
    "export": "windows/s",
    "proxies": "tokens/s",
    "confirm": "tokens/s",
}


def ignore_progress(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
    """A `Progress` that shows nothing."""


@contextmanager
def show_progress(progress: Progress | bool | None) -> Iterator[Progress]:
    """The callback for one call of the Python API.

    `progress` is a callback, which is used as it is; True for a bar, or for plain lines where stderr is no terminal;
    False for nothing; or None for a bar in a terminal or a notebook and for nothing elsewhere.
    """
    if progress is False:
        yield ignore_progress
    elif callable(progress):
        yield progress
    else:
        from rich.console import Console

        console = Console(stderr=True)
        if can_draw(console):
            yield from draw_bars(console)
        else:
            yield print_lines(console) if progress or console.is_jupyter else ignore_progress


def can_draw(console: Console) -> bool:
    """Whether bars can move there: in a terminal, and in a notebook that has ipywidgets, which rich needs for it."""
    return console.is_terminal or (console.is_jupyter and find_spec("ipywidgets") is not None)


def draw_bars(console: Console) -> Iterator[Progress]:
    """Yields the callback once; the bars stay until the generator is resumed."""
    from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<21}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[note]:>27}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        tasks: dict[tuple[str, str], tuple[TaskID, float]] = {}

        def show(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
            if (stage, name) not in tasks:
                task = bars.add_task(f"{stage} {name}", total=None, note="")  # which pulses until something is done
                tasks[stage, name] = task, time.monotonic()
            task, began = tasks[stage, name]
            shown = "  ".join(filter(None, (note, format_rate(stage, done, time.monotonic() - began))))
            bars.update(task, completed=min(done, total), total=total if done else None, note=shown)

        yield show


def print_lines(console: Console) -> Progress:
    """A callback that prints a plain line every ten seconds, and one at the end of a stage."""
    last = began = time.monotonic()

    def show(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > PLAIN_SECONDS or (done >= total and now - began > QUIET_SECONDS):
            last = now
            words = f"{stage} {name}", _amount(done, total), note, format_rate(stage, done, now - began)
            console.print(
                f"{now - began:7.1f}s  {'  '.join(filter(None, words))}", highlight=False, markup=False, soft_wrap=True
            )

    return show


def _amount(done: int, total: int) -> str:
    """`3 of 4`; with more done than is needed, since units are prepared whole, `7, 4 needed`."""
    return f"{done:,} of {total:,}" if done <= total else f"{done:,}, {total:,} needed"


def format_rate(stage: str, done: int, seconds: float) -> str:
    """`3.6M tokens/s` for a stage that counts such units; "" for other stages, and before there is a rate."""
    if stage not in UNITS or seconds < RATE_SECONDS:
        return ""
    per_second = done / seconds
    factor, letter = next((f, s) for f, s in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, "")) if per_second >= f or f == 1)
    return f"{per_second / factor:.{1 if letter else 0}f}{letter} {UNITS[stage]}"

"""Bars and plain lines of long work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gpts_data.validation import progress_bar
from gpts_data.validation.progress_bar import can_draw, draw_bars, format_rate, print_lines, show_progress


@pytest.mark.parametrize(
    ("done", "seconds", "shown"),
    [(36, 10, "4 tokens/s"), (36_000, 10, "3.6k tokens/s"), (10**9, 100, "10.0M tokens/s"), (10**6, 0.1, "")],
)
def test_rates(done: int, seconds: float, shown: str) -> None:
    assert format_rate("prepare", done, seconds) == shown


def test_tasks_have_no_rate() -> None:
    assert format_rate("cut", 5, 10) == ""


def test_bars_in_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    assert can_draw(console)
    for show in draw_bars(console):
        show("cut", "wiki", 3, 4, "2 dropped")
    assert isinstance(console.file, io.StringIO)
    assert "cut wiki" in console.file.getvalue() and "75%" in console.file.getvalue()


def test_plain_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "PLAIN_SECONDS", -1.0)
    console = Console(file=io.StringIO(), force_terminal=False, width=120)
    assert not can_draw(console)
    print_lines(console)("cut", "wiki", 3, 4, "2 dropped")
    assert isinstance(console.file, io.StringIO)
    assert "cut wiki  3 of 4  2 dropped" in console.file.getvalue()


def test_a_call_shows_what_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_bar, "PLAIN_SECONDS", -1.0)
    seen: list[int] = []

    def count(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        seen.append(done)

    for progress, shown in ((None, ""), (False, ""), (True, "cut wiki"), (count, "")):
        with show_progress(progress) as show:
            show("cut", "wiki", 3, 4)
        assert shown in capsys.readouterr().err
    assert seen == [3]


def test_more_than_needed_is_shown_as_it_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=False, width=80)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_bar, "PLAIN_SECONDS", -1.0)
        print_lines(console)(
            "prepare", "web", 1_652_780, 467_968, "a note that makes the line longer than the terminal"
        )
    assert isinstance(console.file, io.StringIO)
    (line,) = console.file.getvalue().splitlines()
    assert "1,652,780, 467,968 needed" in line


def test_a_bar_is_there_before_the_first_unit_is_done() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    for show in draw_bars(console):
        show("prepare", "web", 0, 100)
        show("prepare", "web", 50, 100)
    assert isinstance(console.file, io.StringIO)
    assert "50%" in console.file.getvalue()

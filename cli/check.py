"""Commands that examine a machine or a mix: `doctor`, `inspect` and `verify`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpts_data.cli.options import (
    PathOrUrl,
    json_option,
    mix_argument,
    open_recipe,
    print_json,
    recipe_option,
    tokens_option,
    workers_option,
    workers_options,
)
from gpts_data.cli.output_file import output_file
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import echo
from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError, UsageError, VerificationError
from gpts_data.pipelines.text.control_characters import escape_line

if TYPE_CHECKING:
    from gpts_data.mixer.format.mix import Mix
    from gpts_data.validation.inspect import Window


@click.command()
@recipe_option
@tokens_option
@click.option(
    "--out",
    default="mix",
    show_default=True,
    metavar="DIR",
    type=PathOrUrl(path_type=Path),
    help="Folder that the build would write to.",
)
@workers_option
@json_option
def doctor(recipe: str, tokens: int | None, out: Path, workers: int, as_json: bool) -> None:
    """Check that this machine can do a build.

    Checks libraries, memory, disk space, open files and whether the sources can be read. Writes nothing. Exits with 1
    when it cannot, and with 4 when only the hub cannot be reached.

    Example: gpts-data doctor --recipe sample --tokens 1M --out mix
    """
    from gpts_data.validation.doctor.doctor import run_checks
    from gpts_data.validation.doctor.sources import only_hub_failed

    resolved, recipe_folder = open_recipe(recipe, tokens)
    checks = run_checks(resolved, recipe_folder, out, workers)
    ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        from gpts_data.cli.tables import show_checks

        show_checks(checks)
    if not ok:
        sys.exit(SourceUnavailableError.exit_code if only_hub_failed(checks) else GptsDataError.exit_code)


@click.command()
@mix_argument
@click.option("--window", type=int, metavar="N", help="Decode and print window N of the training order.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML report to FILE. It is one file and needs no network.",
)
@click.option(
    "--markdown",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the figures of the report to FILE as Markdown, without texts of documents.",
)
@click.option(
    "--run",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="With --html or --markdown: also report on RUN, a folder that smoke-train wrote for this mix.",
)
@click.option(
    "--personal-data",
    is_flag=True,
    help="Count e-mail addresses and card numbers in a sample of windows.",
)
@click.option(
    "--summary",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a draft of the EU's public summary of training content to FILE, in Markdown.",
)
@json_option
def inspect(
    folder: Path,
    window: int | None,
    html: Path | None,
    markdown: Path | None,
    run: Path | None,
    personal_data: bool,
    summary: Path | None,
    as_json: bool,
) -> None:
    """Show what a mix contains.

    Prints the share of each source, and how many of its documents were kept or were dropped for which reason.

    Example: gpts-data inspect mix --html report.html
    """
    from gpts_data.cli.personal_data import show_data_notes
    from gpts_data.cli.tables import show_mix
    from gpts_data.mixer.format.mix import open_mix
    from gpts_data.validation.inspect import decode_window
    from gpts_data.validation.inspect import inspect as summarize
    from gpts_data.validation.personal_data import sample_personal_data

    if run and not (html or markdown):
        raise UsageError("inspect --run: only the report shows a run; add --html report.html")
    mix = open_mix(folder)
    contents = summarize(mix)
    found = sample_personal_data(mix) if personal_data else {}
    if html or markdown:
        write_report(mix, html, run, markdown)
    if summary:
        write_summary(mix, summary)
    decoded = None if window is None else decode_window(mix, window)
    if as_json:
        counts = {name: asdict(data) for name, data in found.items()}
        shown = {"window_shown": asdict(decoded)} if decoded else {}
        print_json({**contents, **({"personal_data": counts} if counts else {}), **shown})
    elif decoded:
        _show_window(decoded)
    elif html or markdown or summary:
        _show_written(html, markdown, summary)
    else:
        show_mix(contents)
        show_data_notes(mix, found)


def _show_window(decoded: Window) -> None:
    location = f"{decoded.shard} row {decoded.row:,}, window {decoded.window:,} of {decoded.source}"
    echo(f"window {decoded.position:,}: {location}")
    echo(decoded.text)


def _show_written(html: Path | None, markdown: Path | None, summary: Path | None) -> None:
    advice = "open it in a browser", "the report as Markdown", "a draft; it says what a person must add"
    for path, text in zip((html, markdown, summary), advice, strict=True):
        if path:
            echo(f"{path}: {text}")


def write_report(mix: Mix, html: Path | None, run: Path | None, markdown: Path | None = None) -> None:
    """Write the report of a mix, and of a training run on it, as HTML, as Markdown or as both.

    Raises `UsageError` for an unsuitable file name.
    """
    from gpts_data.pipelines.storage.atomic_files import write_bytes
    from gpts_data.validation.report.collect import collect_report
    from gpts_data.validation.report.markdown import render_markdown
    from gpts_data.validation.report.page import render_html

    named = (html, "--html", render_html), (markdown, "--markdown", render_markdown)
    targets = [(output_file(path, option, mix.path), render) for path, option, render in named if path]
    with progress() as show:
        show("report", "", 0, 1)
        report = collect_report(mix, run)
        for target, render in targets:
            write_bytes(target, render(report).encode())
        show("report", "", 1, 1)


def write_summary(mix: Mix, path: Path) -> None:
    """Write the draft of the public summary. Raises `UsageError` for an unsuitable file name."""
    from gpts_data.pipelines.storage.atomic_files import write_bytes
    from gpts_data.validation.report.training_summary import training_summary

    target = output_file(path, "--summary", mix.path)
    write_bytes(target, training_summary(mix).encode())


@click.command()
@mix_argument
@click.option("--quick", is_flag=True, help="Compare only file names and sizes.")
@workers_options
@json_option
def verify(folder: Path, quick: bool, workers: int, scheduler: str | None, as_json: bool) -> None:
    """Check every file of a mix against its manifest.

    Needs only the mix folder. Exits with 6 when a file is missing, unexpected or changed.

    Example: gpts-data verify mix
    """
    from gpts_data.pipelines.execute import open_engine
    from gpts_data.validation.verify import verify as find_problems
    from gpts_data.validation.verify import warm_up

    with progress() as show, open_engine(workers, scheduler, warm_up=warm_up) as engine:
        problems = find_problems(folder, quick=quick, progress=show, engine=engine)
    if as_json:
        print_json({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    for problem in problems if not as_json else ():
        echo(escape_line(f"{problem.file}: {problem.problem}"))
    if problems:
        echo(f"gpts-data: {folder} failed verification with {len(problems)} problem(s)", err=True)
        command = f"gpts-data verify {shlex.quote(str(folder))}"
        echo(f"Next: copy these files again, or build the mix again in a new folder; then {command}", err=True)
        sys.exit(VerificationError.exit_code)
    if not as_json:
        echo(f"{folder}: ok{' (names and sizes only)' if quick else ''}")

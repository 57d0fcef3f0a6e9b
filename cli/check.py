"""Commands that look: doctor, inspect, trace, verify."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpts_data.cli.options import (
    PathOrUrl,
    Quantity,
    json_option,
    mix_argument,
    open_recipe,
    print_json,
    recipe_option,
    workers_option,
    workers_options,
)
from gpts_data.cli.progress import progress
from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError, UsageError, VerificationError

if TYPE_CHECKING:
    from gpts_data.mixer.format.mix import Mix


@click.command()
@recipe_option
@click.option("--tokens", type=Quantity(), metavar="N", help="Training tokens, such as 25B, instead of the recipe's.")
@click.option("--out", default="mix", show_default=True, metavar="DIR", type=PathOrUrl(path_type=Path))
@workers_option
@json_option
def doctor(recipe: str, tokens: int | None, out: Path, workers: int, as_json: bool) -> None:
    """Tell whether this machine can do a build, before it begins. Writes nothing.

    Exits with 1 when it cannot, with 4 when only the hub is in the way.

    Example: gpts-data doctor --recipe sample --tokens 1M --out mix --workers 2
    """
    from gpts_data.validation.doctor.doctor import run_checks
    from gpts_data.validation.doctor.sources import of_hub

    wanted, folder = open_recipe(recipe, tokens)
    checks = run_checks(wanted, folder, out, workers)
    ok = all(check.ok for check in checks)
    if as_json:
        print_json({"ok": ok, "checks": [asdict(check) for check in checks]})
    else:
        from gpts_data.cli.tables import show_checks

        show_checks(checks)
    if not ok:
        sys.exit(SourceUnavailableError.exit_code if of_hub(checks) else GptsDataError.exit_code)


@click.command()
@mix_argument
@click.option("--window", type=int, metavar="N", help="Show window N of the training order, decoded.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a report to look at: one file, no network.",
)
@click.option(
    "--run", metavar="RUN", type=click.Path(path_type=Path), help="With --html: a run of smoke-train over it."
)
@json_option
def inspect(folder: Path, window: int | None, html: Path | None, run: Path | None, as_json: bool) -> None:
    """Show what is in a mix: shares, documents, the waterfall; or a report of it as HTML.

    Example: gpts-data inspect mix --html report.html
    """
    from gpts_data.cli.tables import show_mix
    from gpts_data.mixer.format.mix import open_mix
    from gpts_data.validation.inspect import decode_window
    from gpts_data.validation.inspect import inspect as facts_of

    if run and not html:
        raise UsageError("inspect --run: only the report shows a run; add --html FILE")
    mix = open_mix(folder)
    facts = facts_of(mix)
    if html:
        write_report(mix, html, run)
    shown = None if window is None else decode_window(mix, window)
    if as_json:
        print_json({**facts, **({"window_shown": asdict(shown)} if shown else {})})
    elif shown:
        click.echo(
            f"window {shown.position:,}: {shown.shard} row {shown.row:,}, window {shown.window:,} of {shown.source}"
        )
        click.echo(shown.text)
    elif html:
        click.echo(f"{html}: open it in a browser")
    else:
        show_mix(facts)


def write_report(mix: Mix, html: Path, run: Path | None) -> None:
    from gpts_data.pipelines.storage.atomic_files import write_bytes
    from gpts_data.pipelines.storage.paths import is_inside
    from gpts_data.validation.report.collect import report
    from gpts_data.validation.report.page import render_html

    if str(html) == "-":
        raise UsageError("--html -: a report does not go to the terminal; choose the name of a file")
    target = html.resolve()  # through a link: what it leads to is written, the link stays
    if target.exists() and not target.is_file():
        raise UsageError(f"--html {html}: is no file; choose the name of one")
    if is_inside(target, mix.path):
        raise UsageError(f"--html {html}: inside the mix, where verify would call it an extra file; choose another")
    with progress() as show:
        show("report", "", 0, 1)
        write_bytes(target, render_html(report(mix, run)).encode())
        show("report", "", 1, 1)


@click.command()
@mix_argument
@click.option("--token", type=int, metavar="N", help="A token of the training order, counted from 0.")
@click.option("--window", type=int, metavar="N", help="The first token of window N of the training order.")
@click.option("--shard", type=int, metavar="S", help="With --row: the first token of a row of a shard.")
@click.option("--row", type=int, metavar="R")
@click.option("--document", metavar="ID", help="The other way: which windows a document is in.")
@json_option
def trace(
    folder: Path,
    token: int | None,
    window: int | None,
    shard: int | None,
    row: int | None,
    document: str | None,
    as_json: bool,
) -> None:
    """Tell where a token came from: source, document, url, unit, offset, text; or where a document went.

    Example: gpts-data trace mix --token 1000
    """
    from gpts_data.mixer.format.mix import open_mix

    given = [token is not None, window is not None, shard is not None, document is not None]
    if given.count(True) != 1 or (shard is None) != (row is None):
        raise UsageError("trace: expected --token N, or --window N, or --shard S and --row R, or --document ID")
    mix = open_mix(folder)
    token = window * mix.window if window is not None else token
    if document is not None:
        _print_locations(mix, document, as_json)
    else:
        _print_origin(mix, token, shard, row, as_json)


def _print_origin(mix: Mix, token: int | None, shard: int | None, row: int | None, as_json: bool) -> None:
    from gpts_data.mixer.format.trace import trace as origin_of
    from gpts_data.mixer.format.training_order import token_number

    number = token if token is not None else token_number(mix, shard or 0, row or 0)
    origin = asdict(origin_of(mix, number))
    if as_json:
        print_json({"token": number, **origin})
        return
    for key, value in origin.items():
        if key != "text":
            click.echo(f"{key:>22}  {value}")
    click.echo(f"\n{origin['text']}")


def _print_locations(mix: Mix, document: str, as_json: bool) -> None:
    from gpts_data.mixer.format.find_document import find_documents

    found = find_documents(mix, document)
    if as_json:
        print_json({"documents": [asdict(one) for one in found]})
        return
    for one in found:
        for key, value in asdict(one).items():
            if key != "windows":
                click.echo(f"{key:>22}  {value}")
        for place in one.windows:
            where = ", ".join(f"{position:,}" for position in place.positions)
            click.echo(f"  window {where} of the training order: its tokens {place.start} to {place.stop - 1}")


@click.command()
@mix_argument
@click.option("--quick", is_flag=True, help="Compare names and sizes only.")
@workers_options
@json_option
def verify(folder: Path, quick: bool, workers: int, scheduler: str | None, as_json: bool) -> None:
    """Check that a mix is exactly what its manifest says. Needs only the folder.

    Example: gpts-data verify mix
    """
    from gpts_data.pipelines.execute import open_engine
    from gpts_data.validation.verify import verify as problems_of

    with progress() as show, open_engine(workers, scheduler) as engine:
        problems = problems_of(
            folder, quick=quick, progress=lambda file, done, total: show("verify", "", done, total), engine=engine
        )
    if as_json:
        print_json({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    for problem in problems if not as_json else ():
        click.echo(f"{problem.file}: {problem.problem}")
    if problems:
        click.echo(f"gpts-data: {folder} failed verification, {len(problems)} problem(s)", err=True)
        sys.exit(VerificationError.exit_code)
    if not as_json:
        click.echo(f"{folder}: ok{' (names and sizes only)' if quick else ''}")

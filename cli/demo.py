"""demo: the whole line on the bundled sample, offline, on a CPU, in a few minutes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gpts_data.cli.options import json_option, open_recipe, print_json
from gpts_data.cli.progress import progress

STEPS = 100  # 204,800 tokens: some 90 seconds on two cores, and below the unigram entropy


@click.command()
@click.option("--out", default="demo", show_default=True, metavar="DIR", type=click.Path(path_type=Path))
@json_option
def demo(out: Path, as_json: bool) -> None:
    """Build, verify, train on and report the bundled sample; offline, in a few minutes.

    Example: gpts-data demo --out demo
    """
    from gpts_data.cli.check import write_report
    from gpts_data.cli.tables import show_mix, show_training
    from gpts_data.cli.train import fail_unless_learned, require_training_extra, train
    from gpts_data.mixer.build import build
    from gpts_data.mixer.format.mix import Mix
    from gpts_data.pipelines.errors import VerificationError
    from gpts_data.validation.inspect import inspect
    from gpts_data.validation.verify import verify

    require_training_extra()  # now, and not after a minute of work
    mix, run = out / "mix", out / "run"
    recipe, folder = open_recipe("sample", None)
    with progress() as show:
        built = build(recipe, folder, mix, workers=min(os.cpu_count() or 1, 4), progress=show)
        problems = verify(mix)
    if problems:
        raise VerificationError("; ".join(f"{p.file}: {p.problem}" for p in problems))
    facts = inspect(Mix(mix, built.manifest))
    if not as_json:
        show_mix(facts)
        click.echo(f"verify {mix}: ok")
    with progress() as show:
        result = train(mix, run, show, steps=STEPS)
    write_report(Mix(mix, built.manifest), out / "report.html", run)
    if as_json:
        print_json({"mix": facts, "training": result})
    else:
        show_training(result)
        show_next(out)
    fail_unless_learned(result)


def show_next(out: Path) -> None:
    click.echo("\nWhere to look next:")
    for command, purpose in (
        (f"{out / 'report.html'}", "the mix, what was dropped, the run: open it in a browser"),
        (f"gpts-data inspect {out / 'mix'} --window 0", "a window of the training order, decoded"),
        (f"gpts-data trace {out / 'mix'} --token 1000", "where a token came from"),
        ("gpts-data build-mix --help", "your own mix"),
    ):
        click.echo(f"  {command:<40} {purpose}")

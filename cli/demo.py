"""The `demo` command: every step on the bundled sample, without network access, on a CPU, in a few minutes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gpts_data.cli.options import json_option, open_recipe, print_json
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import echo

STEPS = 100  # 204,800 tokens: about 90 seconds on two cores, enough for a loss below the unigram entropy


@click.command()
@click.option(
    "--out",
    default="demo",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder to write the mix, the training run and the report to.",
)
@json_option
def demo(out: Path, as_json: bool) -> None:
    """Run every step on the bundled sample.

    Builds a mix, verifies it, trains on it and writes a report. Takes a few minutes on a CPU and needs no network
    access.

    Example: gpts-data demo --out demo
    """
    from gpts_data.cli.check import write_report
    from gpts_data.cli.model_tables import show_training
    from gpts_data.cli.tables import show_mix
    from gpts_data.cli.train import fail_unless_learned, require_training_extra, train
    from gpts_data.mixer.build import build
    from gpts_data.mixer.format.mix import Mix
    from gpts_data.pipelines.errors import VerificationError
    from gpts_data.validation.inspect import inspect
    from gpts_data.validation.verify import verify

    require_training_extra()  # fail at once rather than after a minute of building
    mix, run = out / "mix", out / "run"
    recipe, recipe_folder = open_recipe("sample", None)
    with progress() as show:
        built = build(recipe, recipe_folder, mix, workers=min(os.cpu_count() or 1, 4), progress=show)
        problems = verify(mix)
    if problems:
        raise VerificationError("; ".join(f"{problem.file}: {problem.problem}" for problem in problems))
    summary = inspect(Mix(mix, built.manifest))
    if not as_json:
        show_mix(summary)
        echo(f"verify {mix}: ok")
    with progress() as show:
        result = train(mix, run, show, steps=STEPS)
    write_report(Mix(mix, built.manifest), out / "report.html", run)
    if as_json:
        print_json({"mix": summary, "training": result})
    else:
        show_training(result)
        _print_next_steps(out)
    fail_unless_learned(result)


def _print_next_steps(out: Path) -> None:
    echo("\nNext steps:")
    for command, purpose in (
        (f"{out / 'report.html'}", "a report of the mix and the run; open it in a browser"),
        (f"gpts-data inspect {out / 'mix'} --window 0", "decode the first training window"),
        (f"gpts-data trace {out / 'mix'} --token 1000", "find the document that a token came from"),
        ("gpts-data build-mix --help", "build a mix of your own data"),
    ):
        echo(f"  {command:<40} {purpose}")

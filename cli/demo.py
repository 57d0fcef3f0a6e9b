"""The `demo` command: every step on the bundled sample, without network access, on a CPU, in about two minutes."""

from __future__ import annotations

import os
from pathlib import Path

import click

from gpts_data.cli.options import json_option, open_recipe, print_json
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import echo

STEPS = 60  # 122,880 tokens: about a minute on two cores, enough for a loss below the unigram entropy


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

    Builds a mix, verifies it, trains on it and writes a report. Takes about two minutes on a CPU and needs no network
    access.

    Example: gpts-data demo --out demo
    """
    from gpts_data.cli.check import write_report
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
        shares = ", ".join(f"{source['share']:.3%} {name}" for name, source in summary["sources"].items())
        echo(f"{summary['tokens']:,} tokens: {shares}")
        echo(f"root digest {summary['root_digest']}")
    with progress() as show:
        result = train(mix, run, show, steps=STEPS)
    write_report(Mix(mix, built.manifest), out / "report.html", run)
    if as_json:
        print_json({"mix": summary, "training": result})
    else:
        loss = f"loss {result['first_loss']:.2f} to {result['last_loss']:.2f}"
        entropy = f"unigram entropy {result['unigram_entropy']:.2f}"
        echo(f"verify {mix}: ok; GPT-S-5M, {STEPS} steps: {loss}, {entropy}")
        echo(f"open {out / 'report.html'} in a browser; gpts-data inspect {mix} shows more")
    fail_unless_learned(result)

"""Commands that train: smoke-train."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gpts_data.cli.options import json_option, mix_argument, print_json
from gpts_data.cli.progress import progress
from gpts_data.pipelines.errors import UsageError, VerificationError


@click.command("smoke-train")
@mix_argument
@click.option("--steps", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--out", metavar="RUN", type=click.Path(path_type=Path), help="Where the run goes.  [default: DIR-run]")
@json_option
def smoke_train(folder: Path, steps: int, out: Path | None, as_json: bool) -> None:
    """Train GPT-S for a few minutes on a mix; fails when it does not learn from it.

    Example: gpts-data smoke-train mix --steps 200
    """
    from gpts_data.cli.tables import show_training

    run = out or folder.with_name(f"{folder.resolve().name}-run")
    with progress() as show:
        result = train(folder, run, steps, show)
    if as_json:
        print_json(result)
    else:
        show_training(result)
        click.echo(f"{run}: model.safetensors, config.json, losses.jsonl, result.json, mix.json, tokenizer")
    if result["last_loss"] >= result["unigram_entropy"]:
        click.echo("gpts-data: the model has not learnt: its loss is not below the unigram entropy", err=True)
        sys.exit(VerificationError.exit_code)


def train(folder: Path, run: Path, steps: int, show: Any) -> dict[str, Any]:
    """smoke_train as plain values. Raises `UsageError` when torch is not installed."""
    # Threads that wait asleep: with another job on two cores, waiting awake makes a step four times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from gpts_data.validation.smoke import smoke_train as run_training
    except ModuleNotFoundError as error:
        raise UsageError(f"training needs {error.name}: pip install 'gpts-data[train]'") from error
    from gpts_data.mixer.mix import open_mix

    return asdict(
        run_training(open_mix(folder), run, steps=steps, progress=lambda n, total, *_: show("train", "", n, total))
    )

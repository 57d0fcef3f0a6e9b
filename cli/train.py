"""Commands that train: smoke-train."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpts_data.cli.options import json_option, mix_argument, print_json
from gpts_data.cli.progress import progress
from gpts_data.pipelines.errors import UsageError, VerificationError

if TYPE_CHECKING:
    from gpts_data.validation.training.log import Line
    from gpts_data.validation.training.lr_schedule import Shape


STEPS = 200
BATCH = 4  # windows an update of a short run
NAMED = 3  # files at most in one message


@click.command("smoke-train")
@mix_argument
@click.option(
    "--steps", type=click.IntRange(min=1), help=f"[default: {STEPS}; with --recipe-schedule, the whole mix once]"
)
@click.option("--out", metavar="RUN", type=click.Path(path_type=Path), help="Where the run goes.  [default: DIR-run]")
@click.option("--recipe-schedule", is_flag=True, help="Train as GPT-S-5M was: 262,144 tokens an update.")
@click.option(
    "--decay",
    type=click.Choice(("1-sqrt", "linear")),
    default="1-sqrt",
    show_default=True,
    help="How the rate falls in the last 30% of the steps.",
)
@click.option(
    "--micro-batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most N windows in one pass through the model.  [default: 128 on a GPU, else 4]",
)
@click.option(
    "--validate-every",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Bits per byte of held-out text every N steps.  [default: after the last]",
)
@json_option
def smoke_train(folder: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Train GPT-S for a few minutes on a mix; fails when the mix is not fit for it, or the model does not learn.

    Killed, it goes on when it is started again. On several GPUs:
    torchrun --no-python --nproc-per-node 8 gpts-data smoke-train ...

    Example: gpts-data smoke-train mix --steps 200
    """
    from gpts_data.cli.tables import show_training

    mix = folder.resolve() if isinstance(folder, Path) else Path(folder.name)  # of a mix in a store: in this folder
    run = out or (folder if isinstance(folder, Path) else mix).with_name(f"{mix.name}-run")
    first = os.environ.get("RANK", "0") == "0"  # of the processes of a torchrun, one speaks
    with progress() as show:
        result = train(folder, run, show if first else lambda *_: None, **options)
    if not first:
        return
    if as_json:
        print_json(result)
    else:
        show_training(result)
        click.echo(f"{run}: model.safetensors, config.json, log.jsonl, curves.svg, result.json, mix.json, tokenizer")
    fail_unless_learned(result)


def fail_unless_learned(result: dict[str, Any]) -> None:
    if result["last_loss"] >= result["unigram_entropy"]:
        click.echo("gpts-data: the model has not learnt: its loss is not below the unigram entropy", err=True)
        sys.exit(VerificationError.exit_code)


def require_training_extra() -> None:
    """Raise `UsageError` when what a run needs is not installed."""
    if missing := [name for name in ("torch", "safetensors") if find_spec(name) is None]:
        raise UsageError(f"training needs {missing[0]}: pip install 'gpts-data[train]'")


def train(
    folder: Path,
    run: Path,
    show: Any,
    *,
    steps: int | None = None,
    recipe_schedule: bool = False,
    decay: Shape = "1-sqrt",
    micro_batch: int | None = None,
    validate_every: int = 0,
) -> dict[str, Any]:
    """smoke_train as plain values, on data that were looked at first.

    Raises `UsageError` when torch is not installed, `VerificationError` when the data cannot be learnt from.
    """
    # Threads that wait asleep: with another job on two cores, waiting awake makes a step four times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    require_training_extra()
    from gpts_data.mixer.format.mix import open_mix
    from gpts_data.validation.training.data_checks import find_data_problems
    from gpts_data.validation.training.lr_schedule import LearningRateSchedule, published_schedule
    from gpts_data.validation.training.smoke import smoke_train as run_training

    mix = open_mix(folder)
    if problems := find_data_problems(mix):
        named = "; ".join(f"{problem.file}: {problem.problem}" for problem in problems[:NAMED])
        more = f"; and {len(problems) - NAMED} more files" if len(problems) > NAMED else ""
        raise VerificationError(f"{folder} is not fit for training: {named}{more}. Build it again with build-mix")

    def shown(line: Line, total: int, mfu: float | None) -> None:
        share = "" if mfu is None else f"  MFU {mfu:.1%}"
        show("train", "", line.step, total, f"loss {line.loss:.3f}  {line.tokens_per_second:,.0f} tokens/s{share}")

    schedule = (
        published_schedule(mix, steps, decay) if recipe_schedule else LearningRateSchedule(steps or STEPS, BATCH, decay)
    )
    return asdict(
        run_training(mix, run, schedule, micro_batch=micro_batch, validate_every=validate_every, progress=shown)
    )

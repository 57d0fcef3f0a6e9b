"""The `smoke-train` command."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpts_data.cli.options import Quantity, json_option, mix_argument, print_json
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import echo
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.pipelines.progress import Progress
from gpts_data.validation.progress_bar import ignore_progress

if TYPE_CHECKING:
    from gpts_data.mixer.format.mix import Mix
    from gpts_data.validation.training.log import Line
    from gpts_data.validation.training.lr_schedule import LearningRateSchedule, Shape


STEPS = 200
BATCH = 4  # windows per update, without --recipe-schedule
MAX_NAMED = 3  # damaged files that the error message lists


@click.command("smoke-train")
@mix_argument
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Number of updates.  [default: {STEPS}; with --recipe-schedule, one epoch of the mix]",
)
@click.option(
    "--out", metavar="RUN", type=click.Path(path_type=Path), help="Folder to write the run to.  [default: DIR-run]"
)
@click.option(
    "--recipe-schedule", is_flag=True, help="Use the hyper-parameters of GPT-S-5M: 262,144 tokens per update."
)
@click.option(
    "--decay",
    type=click.Choice(("1-sqrt", "linear")),
    default="1-sqrt",
    show_default=True,
    help="How the learning rate decays in the last 30% of the steps.",
)
@click.option(
    "--micro-batch-tokens",
    type=Quantity(),
    metavar="N",
    help="Largest number of tokens per forward pass.  [default: what fits the memory of the GPU; 2,048 on a CPU]",
)
@click.option(
    "--validate-every",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Measure bits per byte on the validation set every N steps.  [default: only after the last step]",
)
@click.option(
    "--skip-nonfinite",
    is_flag=True,
    help="Go on without the batches whose gradient is NaN or infinite. By default the run stops at the first of them, "
    "before it changes the weights.",
)
@json_option
def smoke_train(folder: Path, out: Path | None, as_json: bool, **options: Any) -> None:
    """Train GPT-S on a mix for a few minutes.

    Exits with 6 when the data look wrong or the final loss is not below the unigram entropy. If the training is
    interrupted, run the same command again to resume it. On several GPUs:

    \b
    torchrun --no-python --nproc-per-node 8 gpts-data smoke-train ...

    Example: gpts-data smoke-train mix --steps 200
    """
    from gpts_data.cli.model_tables import show_training

    mix = (
        folder.resolve() if isinstance(folder, Path) else Path(folder.name)
    )  # the run of a mix in a store goes to this folder
    run = out or (folder if isinstance(folder, Path) else mix).with_name(f"{mix.name}-run")
    is_first = os.environ.get("RANK", "0") == "0"  # only one process of a torchrun reports
    with progress() as show:
        result = train(folder, run, show if is_first else ignore_progress, **options)
    if not is_first:
        return
    if as_json:
        print_json(result)
    else:
        show_training(result)
        echo(f"{run}: model.safetensors, config.json, log.jsonl, curves.svg, result.json, mix.json, tokenizer")
    fail_unless_learned(result)


def fail_unless_learned(result: dict[str, Any]) -> None:
    """Exit with 6 unless the final loss is below the unigram entropy, which a model without context could reach."""
    if result["last_loss"] >= result["unigram_entropy"]:
        echo(
            f"gpts-data: the model did not learn: expected a loss below the unigram entropy of "
            f"{result['unigram_entropy']:.3f}, found {result['last_loss']:.3f}; train for more --steps",
            err=True,
        )
        sys.exit(VerificationError.exit_code)


def require_training_extra(*more: str) -> None:
    """Raise `UsageError` when a library that training needs, or one of `more`, is not installed."""
    if missing := [name for name in ("torch", "safetensors", *more) if find_spec(name) is None]:
        raise UsageError(f"training needs {missing[0]}: pip install 'gpts-data[train]'")


def train(
    folder: Path,
    run: Path,
    progress: Progress,
    *,
    steps: int | None = None,
    recipe_schedule: bool = False,
    decay: Shape = "1-sqrt",
    micro_batch_tokens: int | None = None,
    validate_every: int = 0,
    skip_nonfinite: bool = False,
) -> dict[str, Any]:
    """Check the data of a mix, train on it and return the result as plain values.

    Raises `UsageError` when torch is not installed, `VerificationError` when the data look wrong.
    """
    # Idle threads must sleep: when another job shares two cores, busy waiting makes a step four times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    require_training_extra()
    from gpts_data.mixer.format.mix import open_mix
    from gpts_data.validation.training.smoke import smoke_train as run_training

    mix = open_mix(folder)
    _refuse_unfit_data(mix)

    def report_step(line: Line, total: int, mfu: float | None) -> None:
        share = "" if mfu is None else f"  MFU {mfu:.1%}"
        progress("train", "", line.step, total, f"loss {line.loss:.3f}  {line.tokens_per_second:,.0f} tokens/s{share}")

    schedule = _schedule(mix, steps, recipe_schedule, decay)
    _print_note(mix, schedule)
    return asdict(
        run_training(
            mix,
            run,
            schedule,
            micro_batch_tokens=micro_batch_tokens,
            validate_every=validate_every,
            skip_nonfinite=skip_nonfinite,
            progress=report_step,
        )
    )


def _schedule(mix: Mix, steps: int | None, recipe_schedule: bool, decay: Shape) -> LearningRateSchedule:
    from gpts_data.validation.training.lr_schedule import LearningRateSchedule, published_schedule

    if recipe_schedule:
        return published_schedule(mix, steps, decay)
    return LearningRateSchedule(steps or STEPS, BATCH, decay)


def _refuse_unfit_data(mix: Mix) -> None:
    from gpts_data.validation.training.data_checks import find_data_problems

    if problems := find_data_problems(mix):
        named = "; ".join(f"{problem.file}: {problem.problem}" for problem in problems[:MAX_NAMED])
        more = f"; and {len(problems) - MAX_NAMED} more files" if len(problems) > MAX_NAMED else ""
        raise VerificationError(f"{mix.path} is not fit for training: {named}{more}. Build it again with build-mix")


def _print_note(mix: Mix, schedule: LearningRateSchedule) -> None:
    """Print what stages of the mix have to do with the decay of the learning rate, once for all processes."""
    from gpts_data.validation.training.stage_steps import decay_note

    note = decay_note(mix, schedule)
    if note and os.environ.get("RANK", "0") == "0":
        echo(f"gpts-data: {note}", err=True)

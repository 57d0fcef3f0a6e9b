"""Commands for a trained model: `export-model` and `evaluate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from gpts_data.cli.options import VERBOSITY, json_option, print_json
from gpts_data.cli.terminal import echo
from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.published_scores import TASKS

run_argument = click.argument("run", metavar="RUN", type=click.Path(path_type=Path))


@click.command("export-model")
@run_argument
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder to write the model to.  [default: RUN-model]"
)
@json_option
def export_model(run: Path, out: Path | None, as_json: bool) -> None:
    """Write a trained model for transformers.

    The folder holds weights, code, tokenizer and model card. RUN is a folder that smoke-train wrote.

    Example: gpts-data export-model mix-run --out gpt-s
    """
    try:
        from gpts_data.validation.model.export import export_model as export
    except ModuleNotFoundError as error:
        raise UsageError(f"export-model needs {error.name}: pip install 'gpts-data[train]'") from error

    target = out or run.with_name(f"{run.resolve().name}-model")
    exported = export(run, target)
    if as_json:
        print_json(exported)
    else:
        echo(f"{target}: {exported['parameters']:,} parameters, {', '.join(exported['files'])}")
        echo(f"root digest of the mix: {exported['mix_root_digest']}")


@click.command()
@run_argument
@click.option(
    "--tasks",
    metavar="A,B",
    help=f"Names of the benchmarks to run, separated by commas: {', '.join(TASKS)}.  [default: all; with --data, those "
    "that have a file in DIR]",
)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Read the questions from the files TASK_SPLIT*.jsonl.gz in DIR.  [default: download them from the hub]",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Ask only the first N questions of each benchmark, for a quick estimate.",
)
@json_option
def evaluate(run: Path, tasks: str | None, data: Path | None, limit: int | None, as_json: bool) -> None:
    """Score a model on zero-shot benchmarks.

    Prints the average of the GPT-S-5M model card, the Int Index of the Open SLM Leaderboard, and published scores for
    comparison. RUN is a folder that smoke-train or export-model
    wrote.

    Example: gpts-data evaluate mix-run --tasks arc_easy,blimp
    """
    try:
        from gpts_data.validation.evaluate import evaluate as score
    except ModuleNotFoundError as error:
        raise UsageError(f"evaluate needs {error.name}: pip install 'gpts-data[eval]'") from error
    from gpts_data.cli.model_tables import show_scores

    names = None if tasks is None else [name.strip() for name in tasks.split(",")]
    quiet = click.get_current_context().meta.get(VERBOSITY, 0) < 0
    scores = asdict(score(run, names, data=data, limit=limit, quiet=quiet))
    if as_json:
        print_json(scores)
    else:
        show_scores(run.name, scores)

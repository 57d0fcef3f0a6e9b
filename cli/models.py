"""Commands for a trained model: export-model, evaluate."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from gpts_data.cli.options import json_option, print_json
from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.published_scores import TASKS

run_argument = click.argument("run", metavar="RUN", type=click.Path(path_type=Path))


@click.command("export-model")
@run_argument
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where it goes.  [default: RUN-model]")
@json_option
def export_model(run: Path, out: Path | None, as_json: bool) -> None:
    """Write a trained model as a folder that transformers loads: weights, code, tokenizer, card.

    Example: gpts-data export-model mix-run --out gpt-s
    """
    try:
        from gpts_data.validation.model.export import export_model as export
    except ModuleNotFoundError as error:
        raise UsageError(f"an export needs {error.name}: pip install 'gpts-data[train]'") from error

    target = out or run.with_name(f"{run.resolve().name}-model")
    facts = export(run, target)
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{target}: {facts['parameters']:,} parameters, {', '.join(facts['files'])}")
        click.echo(f"mix {facts['mix_root_digest']}")


@click.command()
@run_argument
@click.option("--tasks", default=",".join(TASKS), show_default=True, metavar="A,B", help="Some of them.")
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Questions from files: NAME_SPLIT*.jsonl.gz.  [default: from the hub]",
)
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N questions of each task, for a quick look.")
@json_option
def evaluate(run: Path, tasks: str, data: Path | None, limit: int | None, as_json: bool) -> None:
    """Zero-shot scores of a run or an exported model, beside those of the model card.

    Example: gpts-data evaluate mix-run --tasks arc_easy,blimp
    """
    try:
        from gpts_data.validation.evaluate import evaluate as score
    except ModuleNotFoundError as error:
        raise UsageError(f"evaluation needs {error.name}: pip install 'gpts-data[eval]'") from error
    from gpts_data.cli.tables import show_scores

    found = asdict(score(run, [name.strip() for name in tasks.split(",")], data=data, limit=limit))
    if as_json:
        print_json(found)
    else:
        show_scores(run.name, found)

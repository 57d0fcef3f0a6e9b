"""Commands for a trained model: export-model."""

from __future__ import annotations

from pathlib import Path

import click

from gpts_data.cli.options import json_option, print_json
from gpts_data.pipelines.errors import UsageError

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
        from gpts_data.validation.hub import export_model as export
    except ModuleNotFoundError as error:
        raise UsageError(f"an export needs {error.name}: pip install 'gpts-data[train]'") from error

    target = out or run.with_name(f"{run.resolve().name}-model")
    facts = export(run, target)
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{target}: {facts['parameters']:,} parameters, {', '.join(facts['files'])}")
        click.echo(f"mix {facts['mix_root_digest']}")

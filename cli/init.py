"""The `init` command: write a recipe for given data."""

from __future__ import annotations

from pathlib import Path

import click

from gpts_data.cli.options import json_option, print_json, retry_for_option, retry_policy
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import echo


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--out",
    default="recipe.toml",
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Recipe to write. It must not exist.",
)
@retry_for_option
@json_option
def init(files: tuple[str, ...], out: Path, retry_for: float, as_json: bool) -> None:
    """Write a recipe for your data.

    FILE is a file, a folder, a quoted glob, hf://owner/name[/config] for a dataset on the Hub, or an s3:// address.
    Formats and columns are detected, and weights are proportional to size. Files of one folder whose names differ in
    numbers only become one source.

    Example: gpts-data init books.jsonl.gz web/ --out recipe.toml
    """
    from gpts_data.mixer.starter.recipe import write_starter_recipe
    from gpts_data.pipelines.hub.remote_file import FetchOptions

    with progress():
        starter = write_starter_recipe(files, out, FetchOptions(None, retry_policy(retry_for)))
    if as_json:
        sources = {
            each.source.name: {
                "weight": each.source.weight,
                "files": list(each.source.files),
                "dataset": each.source.dataset,
                "text": each.source.text,
                "id": each.source.id,
                "url": each.source.url,
                "max_epochs": each.source.max_epochs,
                "text_bytes": each.text_bytes,
            }
            for each in starter.sources
        }
        print_json({"recipe": str(out), "tokens": starter.tokens, "sources": sources})
        return
    from gpts_data.cli.tables import new_table, print_table

    table = new_table(
        f"{out}: {starter.tokens:,} tokens, estimated", ("source", "weight", "text", "id", "url", "bytes")
    )
    for each in starter.sources:
        source = each.source
        columns = (source.text, source.id or "-", source.url or "-")
        table.add_row(source.name, str(source.weight), *columns, f"{each.text_bytes:,}")
    print_table(table)
    echo(f"Next: gpts-data plan --recipe {out}")

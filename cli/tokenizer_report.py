"""The `tokenizer-report` command."""

from __future__ import annotations

from pathlib import Path

import click

from gpts_data.cli.options import json_option, open_recipe, print_json, recipe_option, retry_for_option, retry_policy
from gpts_data.cli.progress import progress


@click.command("tokenizer-report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@recipe_option
@click.option(
    "--compare-with",
    "--beside",
    "compare_with",
    metavar="DIR",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Also measure the tokenizer in DIR, such as a local copy of GPT-2's. May be given several times. "
    "--beside is the old name.",
)
@click.option(
    "--picture",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw the table as a bar chart in FILE, which ends in .svg, .png or .pdf.",
)
@retry_for_option
@json_option
def tokenizer_report(
    folder: Path, recipe: str, compare_with: tuple[Path, ...], picture: Path | None, retry_for: float, as_json: bool
) -> None:
    """Compare a tokenizer with other vocabulary sizes.

    Measures bytes per token on text of the recipe's sources. DIR is a tokenizer folder or a mix.

    Example: gpts-data tokenizer-report tokenizer --recipe sample
    """
    from gpts_data.cli.model_tables import show_tokenizer
    from gpts_data.mixer.tokenizer_fit import report_fit
    from gpts_data.pipelines.errors import UsageError
    from gpts_data.pipelines.storage.atomic_files import write_bytes
    from gpts_data.tokenizer.report_chart import KINDS, draw_report

    if picture and picture.suffix[1:] not in KINDS:
        raise UsageError(f"--picture {picture}: expected a file name that ends in .{', .'.join(KINDS)}")
    resolved, recipe_folder = open_recipe(recipe, None)
    with progress() as show:
        measured = report_fit(folder, resolved, recipe_folder, compare_with, retry_policy(retry_for), show)
    if picture:
        write_bytes(picture, draw_report(measured, picture.suffix[1:]))
    if as_json:
        print_json(measured)
    else:
        show_tokenizer(measured)

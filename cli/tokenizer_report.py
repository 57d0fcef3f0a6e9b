"""The command that looks at a tokenizer: tokenizer-report."""

from __future__ import annotations

from pathlib import Path

import click

from gpts_data.cli.options import json_option, open_recipe, print_json, recipe_option, retry_for_option
from gpts_data.cli.progress import progress


@click.command("tokenizer-report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@recipe_option
@click.option(
    "--beside",
    metavar="DIR",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Another tokenizer, such as a local copy of GPT-2's, for its row in the table.",
)
@click.option(
    "--picture", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Draw it, too: .svg, .png, .pdf."
)
@retry_for_option
@json_option
def tokenizer_report(
    folder: Path, recipe: str, beside: tuple[Path, ...], picture: Path | None, retry_for: float, as_json: bool
) -> None:
    """Show how well a tokenizer, or that of a mix, fits a recipe: bytes per token, beside other vocabularies.

    Example: gpts-data tokenizer-report tokenizer --recipe sample
    """
    from gpts_data.cli.tables import show_tokenizer
    from gpts_data.mixer.tokenizer_fit import report_fit
    from gpts_data.pipelines.errors import UsageError
    from gpts_data.pipelines.hub.retry import RetryPolicy
    from gpts_data.pipelines.storage.atomic_files import write_bytes
    from gpts_data.tokenizer.report_chart import KINDS, draw_report

    if picture and picture.suffix[1:] not in KINDS:
        raise UsageError(f"--picture {picture}: expected a name that ends in .{', .'.join(KINDS)}")
    wanted, home = open_recipe(recipe, None)
    patient = RetryPolicy.lasting(retry_for)
    with progress() as show:
        facts = report_fit(folder, wanted, home, beside, patient, show)
    if picture:
        write_bytes(picture, draw_report(facts, picture.suffix[1:]))
    if as_json:
        print_json(facts)
    else:
        show_tokenizer(facts)

"""Commands that make things: train-tokenizer, build-mix."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gpts_data.cli.options import (
    PathOrUrl,
    Quantity,
    json_option,
    open_recipe,
    print_json,
    recipe_option,
    retry_for_option,
    workers_options,
)
from gpts_data.cli.progress import progress

if TYPE_CHECKING:
    from gpts_data.mixer.build import Built
    from gpts_data.tokenizer.encode import EncoderName

out_option = click.option("--out", required=True, metavar="DIR", type=PathOrUrl(path_type=Path, file_okay=False))


@click.command("train-tokenizer")
@recipe_option
@out_option
@click.option("--vocab-size", type=Quantity(), metavar="N", help="Entries, instead of the recipe's.")
@workers_options
@retry_for_option
@json_option
def train_tokenizer(
    recipe: str,
    out: Path,
    vocab_size: int | None,
    workers: int,
    scheduler: str | None,
    retry_for: float,
    as_json: bool,
) -> None:
    """Train the tokenizer on a weighted, cleaned sample of the sources.

    Example: gpts-data train-tokenizer --recipe sample --out tokenizer
    """
    from gpts_data.mixer.train_tokenizer import train_alone
    from gpts_data.pipelines.hub.retry import RetryPolicy

    wanted, folder = open_recipe(recipe, None)
    with progress() as show:
        facts = train_alone(
            wanted, folder, out, vocab_size=vocab_size, workers=workers, scheduler=scheduler, progress=show,
            retry_policy=RetryPolicy.lasting(retry_for),
        )  # fmt: skip
    if as_json:
        print_json(facts)
    else:
        click.echo(
            f"{out}: {facts['vocab_size']:,} entries from {facts['sample_bytes']:,} bytes, sha256 {facts['digest']}"
        )
        click.echo(f"Next: gpts-data build-mix --recipe {recipe} --tokenizer {out} --out mix")


@click.command("build-mix")
@recipe_option
@click.option("--tokens", type=Quantity(), metavar="N", help="Training tokens, such as 25B, instead of the recipe's.")
@out_option
@click.option("--tokenizer", metavar="DIR", type=click.Path(path_type=Path), help="Use this one; else one is trained.")
@workers_options
@click.option(
    "--encoder", type=click.Choice(["fast", "tokenizers"]), default="fast", show_default=True,
    help="What makes the ids; they are the same. tokenizers is some 40 times slower.",
)  # fmt: skip
@click.option(
    "--keep-dropped", type=click.IntRange(min=1), metavar="N",
    help="Keep N dropped documents of each source and reason in DIR/dropped, duplicates beside what they repeat.",
)  # fmt: skip
@click.option(
    "--keep-units", metavar="DIR", type=PathOrUrl(path_type=Path, file_okay=False),
    help="Keep prepared text in DIR and use what is there: with the same --tokenizer, another weight, seed, window or "
    "--tokens reads none again.",
)  # fmt: skip
@retry_for_option
@json_option
def build_mix(
    recipe: str,
    tokens: int | None,
    out: Path,
    tokenizer: Path | None,
    workers: int,
    scheduler: str | None,
    encoder: EncoderName,
    keep_dropped: int | None,
    keep_units: Path | None,
    retry_for: float,
    as_json: bool,
) -> None:
    """Build the mix. Run the same command again to go on after a kill.

    Example: gpts-data build-mix --recipe sample --tokens 1M --out mix --workers 2
    """
    from gpts_data.mixer.build import build
    from gpts_data.pipelines.hub.retry import RetryPolicy

    wanted, folder = open_recipe(recipe, tokens)
    wanted = wanted if keep_dropped is None else replace(wanted, keep_dropped=keep_dropped)
    with progress() as show:
        built = build(
            wanted, folder, out, tokenizer=tokenizer, workers=workers, scheduler=scheduler, progress=show,
            retry_policy=RetryPolicy.lasting(retry_for), encoder=encoder,
            keep_units=keep_units,
        )  # fmt: skip
    _print_built(out, built, as_json)
    if as_json:
        return
    if keep_units and built.created:
        again = "their text was not read again" if built.reused else "of this tokenizer and cleaning"
        click.echo(f"{built.reused:,} of {built.units:,} units were there already, {again}")
        if not tokenizer:
            click.echo(f"Another mix can use them with --tokenizer {out}/tokenizer")
    click.echo(f"Next: gpts-data verify {out}")


def _print_built(out: Path, built: Built, as_json: bool) -> None:
    from gpts_data.cli.tables import show_mix
    from gpts_data.mixer.format.mix import Mix
    from gpts_data.validation.inspect import inspect

    facts = inspect(Mix(out, built.manifest))
    if as_json:
        print_json({**facts, "built": built.created, "units": built.units, "reused": built.reused})
        return
    if not built.created:
        click.echo(f"{out} already holds this mix; nothing to do")
    show_mix(facts)

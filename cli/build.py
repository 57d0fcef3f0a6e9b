"""Commands that produce something: `train-tokenizer` and `build-mix`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpts_data.cli.options import (
    PathOrUrl,
    Quantity,
    json_option,
    open_recipe,
    print_json,
    recipe_option,
    retry_for_option,
    retry_policy,
    tokens_option,
    workers_options,
)
from gpts_data.cli.progress import announce, progress
from gpts_data.cli.terminal import echo

if TYPE_CHECKING:
    from gpts_data.mixer.build import Built

FOLDER_OR_URL = PathOrUrl(path_type=Path, file_okay=False)


@click.command("train-tokenizer")
@recipe_option
@click.option("--out", required=True, metavar="DIR", type=FOLDER_OR_URL, help="Folder to write the tokenizer to.")
@click.option("--vocab-size", type=Quantity(), metavar="N", help="Size of the vocabulary.  [default: the recipe's]")
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
    """Train a BPE tokenizer on a sample of the sources.

    The sample is drawn from the sources by weight and filtered like the mix. A finished tokenizer is left as it is.

    Example: gpts-data train-tokenizer --recipe sample --out tokenizer
    """
    from gpts_data.mixer.train_tokenizer import train_alone
    from gpts_data.pipelines.arrow_import import leave_pandas_out

    leave_pandas_out()
    resolved, recipe_folder = open_recipe(recipe, None)
    announce(f"{out}: training a tokenizer on a sample of {_count(len(resolved.source), 'source')}")
    with progress() as show:
        trained = train_alone(
            resolved,
            recipe_folder,
            out,
            vocab_size=vocab_size,
            workers=workers,
            scheduler=scheduler,
            progress=show,
            retry_policy=retry_policy(retry_for),
        )
    if as_json:
        print_json(trained)
    else:
        echo(
            f"{out}: {trained['vocab_size']:,} entries, trained on {trained['sample_bytes']:,} bytes, "
            f"sha256 {trained['digest']}"
        )
        echo(f"Next: gpts-data build-mix --recipe {recipe} --tokenizer {out} --out mix")


@click.command("build-mix")
@recipe_option
@tokens_option
@click.option(
    "--out", required=True, metavar="DIR", type=FOLDER_OR_URL, help="Folder or s3:// URL to write the mix to."
)
@click.option(
    "--tokenizer",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Use the tokenizer in DIR.  [default: train one first]",
)
@workers_options
@click.option(
    "--encoder",
    type=click.Choice(["fast", "tokenizers"]),
    default="fast",
    show_default=True,
    help="Library that encodes the text. Both give the same ids; tokenizers is about 40 times slower.",
)
@click.option(
    "--keep-dropped",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep N dropped documents per source and reason in DIR/dropped for review; duplicates are shown beside the "
    "document they repeat.",
)
@click.option(
    "--keep-units",
    metavar="DIR",
    type=FOLDER_OR_URL,
    help="Keep the encoded units in DIR and reuse those that are there. With the same --tokenizer and filters, a build "
    "with other weights, seed, window or --tokens does not read their text again.",
)
@retry_for_option
@json_option
def build_mix(
    recipe: str,
    tokens: int | None,
    out: Path,
    keep_dropped: int | None,
    retry_for: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Build a mix from the sources of a recipe.

    Filters, deduplicates and tokenizes the sources and packs them into shards with the weights of the recipe. If the
    build is interrupted, run the same command again to resume it.

    Example: gpts-data build-mix --recipe sample --tokens 1M --out mix
    """
    from gpts_data.cli.exclusions import show_unmatched
    from gpts_data.cli.tables import show_much_padding, show_unread_files
    from gpts_data.mixer.build import build
    from gpts_data.pipelines.arrow_import import leave_pandas_out

    leave_pandas_out()
    resolved, recipe_folder = open_recipe(recipe, tokens)
    if keep_dropped is not None:
        resolved = replace(resolved, keep_dropped=keep_dropped)
    announce(f"{out}: {resolved.tokens:,} tokens of {_count(len(resolved.source), 'source')}")
    with progress() as show:
        built = build(resolved, recipe_folder, out, progress=show, retry_policy=retry_policy(retry_for), **options)
    if as_json:
        print_json({**_summary(out, built), "built": built.created, "units": built.units, "reused": built.reused})
        return
    _print_built(out, built)
    if built.created:
        show_unread_files(_summary(out, built), built.manifest)
        show_much_padding(_summary(out, built))
        show_unmatched(built.manifest.get("exclusions", []))
    if options["keep_units"] and built.created:
        _print_reused(out, built, options["tokenizer"])
    echo(f"Next: gpts-data verify {out}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _summary(out: Path, built: Built) -> dict[str, Any]:
    from gpts_data.mixer.format.mix import Mix
    from gpts_data.validation.inspect import inspect

    return inspect(Mix(out, built.manifest))


def _print_built(out: Path, built: Built) -> None:
    from gpts_data.cli.tables import show_mix

    if not built.created:
        echo(f"{out} already holds this mix; nothing to do")
    show_mix(_summary(out, built))


def _print_reused(out: Path, built: Built, tokenizer: Path | None) -> None:
    reason = "their text was not read again" if built.reused else "none was made with this tokenizer and these filters"
    echo(f"{built.reused:,} of {built.units:,} units were reused from --keep-units: {reason}")
    if not tokenizer:
        echo(f"To reuse these units for another mix, pass --tokenizer {out}/tokenizer")

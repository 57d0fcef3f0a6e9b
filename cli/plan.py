"""plan: what a build would read, need and take."""

from __future__ import annotations

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
    workers_option,
)
from gpts_data.cli.progress import progress

if TYPE_CHECKING:
    from gpts_data.mixer.planning.estimate import Estimate
    from gpts_data.mixer.recipe import Recipe


@click.command()
@recipe_option
@click.option("--tokens", type=Quantity(), metavar="N", help="Training tokens, such as 25B, instead of the recipe's.")
@click.option(
    "--tokenizer", metavar="DIR", type=PathOrUrl(path_type=Path), help="Count in its tokens; else one is learnt."
)
@workers_option
@retry_for_option
@json_option
def plan(
    recipe: str, tokens: int | None, tokenizer: Path | None, workers: int, retry_for: float, as_json: bool
) -> None:
    """Tell what a build would read, need and take. Reads footers and a sample of each source; writes nothing.

    Exits with 3 when a source cannot fill its share, with what would do.

    Example: gpts-data plan --recipe sample --tokens 1M --workers 2
    """
    from gpts_data.mixer.planning.estimate import estimate
    from gpts_data.pipelines.hub.retry import RetryPolicy

    wanted, folder = open_recipe(recipe, tokens)
    with progress() as showing:
        found = estimate(
            wanted,
            folder,
            workers=workers,
            tokenizer=tokenizer,
            progress=showing,
            retry_policy=RetryPolicy.lasting(retry_for),
        )
    if as_json:
        print_json(found)
    else:
        print_estimate(wanted, found)


def print_estimate(wanted: Recipe, found: Estimate) -> None:
    """Two tables: per source, and what the machine must have."""
    from rich.console import Console

    from gpts_data.cli.tables import new_table, print_table
    from gpts_data.validation.doctor.check import size

    columns = ("source", "tokens", "available", "95% between", "of it used", "download")
    most_epochs = {source.name: source.max_epochs for source in wanted.source}
    sources = new_table(f"{wanted.name}: {found.windows:,} windows", columns)
    for source, one in found.sources.items():
        low, high = one.available_interval
        sources.add_row(
            source,
            _short(one.tokens),
            _short(one.available_tokens),
            f"{_short(low)}, {_short(high)}",
            f"{one.epochs:.0%}",
            size(one.download_bytes),
        )
    console = Console()
    print_table(sources)
    stages = ", ".join(f"{stage} {size(n)}" for stage, n in found.disk.items() if n)
    for what, value in (
        ("to read", ", ".join(f"{key} {size(one.read_bytes)}" for key, one in found.sources.items())),
        ("in the mix", ", ".join(f"{key} {one.documents_estimate:,} documents" for key, one in found.sources.items())),
        (
            "dropped",
            ", ".join(f"{key} {_dropped(one.kept_share, one.duplicate_share)}" for key, one in found.sources.items()),
        ),
        ("requests", f"{sum(one.requests for one in found.sources.values()):,} to the hub"),
        ("disk", f"{size(found.disk_bytes)} at the peak: {stages}"),
        ("memory", f"{size(found.memory_bytes)}, {size(found.dedup_bytes)} of it for dedup"),
        ("processor", f"{_time(found.cpu_seconds)} in all; {_time(found.seconds)} with {found.workers} worker(s)"),
    ):
        console.print(f" {what:<10} {value}", highlight=False, soft_wrap=True)
    for source, one in found.sources.items():
        if one.epochs > most_epochs[source]:
            console.print(f" {source}: may turn out too short; its share is the estimate of all there is, or more")


def _dropped(kept: float, duplicates: float) -> str:
    return f"{1 - kept * (1 - duplicates):.0%}"


def _short(tokens: int) -> str:
    """`1.96M`: three digits, and 999,936 is 1M."""
    for name, unit in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if tokens >= 0.9995 * unit:
            return f"{float(f'{tokens / unit:.3g}'):g}{name}"
    return str(tokens)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"

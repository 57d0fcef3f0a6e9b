"""The `plan` command: what a build would read, need and produce."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpts_data.cli.options import (
    PathOrUrl,
    json_option,
    open_recipe,
    print_json,
    recipe_option,
    retry_for_option,
    retry_policy,
    tokens_option,
    workers_option,
)
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import new_console
from gpts_data.mixer.quantities import format_duration

if TYPE_CHECKING:
    from gpts_data.mixer.planning.estimate import Estimate
    from gpts_data.mixer.recipe import Recipe
    from gpts_data.mixer.recipe_exclude import ExclusionList

UNSEEN = 0.1  # share of documents; more possible duplicates that the sample cannot show are worth a line


@click.command()
@recipe_option
@tokens_option
@click.option(
    "--tokenizer",
    metavar="DIR",
    type=PathOrUrl(path_type=Path),
    help="Count tokens with the tokenizer in DIR.  [default: train one on a small sample]",
)
@workers_option
@retry_for_option
@json_option
def plan(
    recipe: str, tokens: int | None, tokenizer: Path | None, workers: int, retry_for: float, as_json: bool
) -> None:
    """Estimate the tokens, disk, memory and time of a build.

    Runs the filters and deduplication on a sample from all over each source, and writes nothing.
    Exits with 3 when a source is too small for its share of the mix, and says which settings would work.

    Example: gpts-data plan --recipe sample --tokens 1M --workers 2
    """
    from gpts_data.mixer.planning.estimate import estimate
    from gpts_data.mixer.recipe_exclude import read_lists
    from gpts_data.pipelines.arrow_import import leave_pandas_out

    leave_pandas_out()
    resolved, recipe_folder = open_recipe(recipe, tokens)
    with progress() as show:
        estimated = estimate(
            resolved,
            recipe_folder,
            workers=workers,
            tokenizer=tokenizer,
            progress=show,
            retry_policy=retry_policy(retry_for),
        )
    if as_json:
        print_json(estimated)
    else:
        print_estimate(resolved, estimated, read_lists(resolved.exclude, recipe_folder))


def print_estimate(recipe: Recipe, estimate: Estimate, exclusions: Sequence[ExclusionList] = ()) -> None:
    """Print a table of the sources, then what the build reads and what the machine must have.

    exclusions: the lists of `[exclude]`.
    """
    from gpts_data.cli.exclusions import exclusion_lines
    from gpts_data.cli.personal_data import show_missing_licenses, show_personal_data
    from gpts_data.cli.tables import print_table, show_large_losses

    print_table(_source_table(recipe, estimate))
    print_table(_dropped_table(estimate))
    show_personal_data({name: source.personal_data for name, source in estimate.sources.items()})
    console = new_console()
    for line in (*_stage_lines(recipe), *exclusion_lines(exclusions)):
        console.print(f" {line}", highlight=False, soft_wrap=True)
    for label, value in _resource_lines(estimate):
        console.print(f" {label:<10} {value}", highlight=False, soft_wrap=True)
    max_epochs = {source.name: source.max_epochs for source in recipe.source}
    for name, source in estimate.sources.items():
        if source.epochs > max_epochs[name]:
            console.print(f" {name}: may turn out too small; its share needs about all of its text, or more")
        possible = source.duplicate_interval[1]
        if source.sampled_share < 1 and possible - source.duplicate_share > UNSEEN:
            text = f" {name}: with {source.sampled_share:.2g} of it sampled, up to {possible:.0%} duplicates far apart "
            console.print(text + "would not be seen", highlight=False, soft_wrap=True)
    show_large_losses({name: (source.read_documents, source.dropped) for name, source in estimate.sources.items()})
    show_missing_licenses({source.name: source.license for source in recipe.source})


def _source_table(recipe: Recipe, estimate: Estimate) -> Any:
    from gpts_data.cli.tables import new_table
    from gpts_data.validation.doctor.check import size

    columns = ("source", "tokens", "available", "95% interval", "used", "files read", "download")
    table = new_table(f"{recipe.name}: {estimate.windows:,} windows", columns)
    for name, source in estimate.sources.items():
        low, high = source.available_interval
        table.add_row(
            name,
            _format_count(source.tokens),
            _format_count(source.available_tokens),
            f"{_format_count(low)}, {_format_count(high)}" if low < high else "counted",
            f"{source.epochs:.0%}",
            f"{source.files_read:,} of {source.files_total:,}",
            size(source.download_bytes),
        )
    return table


def _dropped_table(estimate: Estimate) -> Any:
    """Documents that the build reads, by what becomes of them: a column for each source, the largest reason first."""
    from gpts_data.cli.tables import new_table

    sources = estimate.sources.values()
    table = new_table("documents, estimated", ("", *estimate.sources))
    table.add_row("read", *(f"{source.read_documents:,}" for source in sources))
    reasons = Counter[str]()
    for source in sources:
        reasons.update(source.dropped)
    for reason, _ in reasons.most_common():
        table.add_row(f"- {reason}", *(f"{source.dropped.get(reason, 0):,}" for source in sources), style="dim")
    table.add_row("= in the mix", *(f"{source.documents_estimate:,}" for source in sources))
    return table


def _stage_lines(recipe: Recipe) -> Iterator[str]:
    """What each stage takes of the sources; nothing for a recipe without stages."""
    for number, stage in enumerate(recipe.stages if recipe.stage else ()):
        takes = ", ".join(
            f"{name} {_format_count(windows * recipe.window)}"
            for name, windows in zip(recipe.names, stage.windows, strict=True)
        )
        yield f"stage {number + 1}, from window {stage.start:,}: {takes} tokens"


def _resource_lines(estimate: Estimate) -> Iterator[tuple[str, str]]:
    """Pairs of a label and a text."""
    from gpts_data.validation.doctor.check import size

    sources = estimate.sources.items()
    yield "to read", ", ".join(f"{name} {size(source.read_bytes)}" for name, source in sources)
    yield "requests", f"{sum(source.requests for source in estimate.sources.values()):,} to the hub"
    stages = ", ".join(f"{stage} {size(n_bytes)}" for stage, n_bytes in estimate.disk.items() if n_bytes)
    yield "disk", f"{size(estimate.disk_bytes)} at the peak: {stages}"
    yield "memory", f"{size(estimate.memory_bytes)}, of which {size(estimate.dedup_bytes)} for deduplication"
    elapsed = f"{format_duration(estimate.seconds)} with {estimate.workers} worker(s)"
    yield "CPU time", f"{format_duration(estimate.cpu_seconds)} in total; {elapsed}"


def _format_count(tokens: int) -> str:
    """Three significant digits: `1.96M`; 999,936 becomes `1M`."""
    for name, unit in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if tokens >= 0.9995 * unit:
            return f"{float(f'{tokens / unit:.3g}'):g}{name}"
    return str(tokens)

"""The `search-mix` command."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

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
)
from gpts_data.cli.progress import progress
from gpts_data.cli.terminal import echo
from gpts_data.cli.train import require_training_extra
from gpts_data.pipelines.errors import DataError, redact

if TYPE_CHECKING:
    from gpts_data.validation.search.result import SearchResult

NO_TARGET = (
    "gpts-data: note: no --target was given, so the held-out text of each source counts the same, also that of a "
    "source of no use; the result says how to read all sources equally well"
)


@click.command("search-mix")
@recipe_option
@tokens_option
@click.option(
    "--units",
    required=True,
    metavar="DIR",
    type=PathOrUrl(path_type=Path, file_okay=False),
    help="Folder of the recipe's units: that of build-mix --keep-units.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write the search to.",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="FILE|NAME[=WEIGHT]",
    help="What the proxy models are measured on, in bits per byte: a file of text, the questions of a benchmark's "
    "training split (TASK_train*.jsonl.gz), or the held-out text of the source NAME. Can be repeated, with weights.  "
    "[default: the held-out text of all sources, each with the same weight]",
)
@click.option(
    "--tokenizer",
    metavar="DIR",
    type=PathOrUrl(path_type=Path),
    help="Tokenizer that the units were made with.  [default: the one that build-mix kept with them]",
)
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of mixtures to try, besides three runs of the recipe's own: at least sources + 2. More than before "
    "need a new --out.  [default: 12, or 5 per source]",
)
@click.option(
    "--tokens-per-run",
    type=Quantity(),
    metavar="N",
    help="Training tokens of a proxy run.  [default: 128M, or the recipe's tokens if they are fewer]",
)
@click.option("--layers", type=click.IntRange(min=1), default=9, show_default=True, help="Layers of the proxy model.")
@click.option(
    "--width",
    type=click.IntRange(min=32),
    default=192,
    show_default=True,
    help="Width of the proxy model, a multiple of 32. The defaults are GPT-S-5M; a CPU needs smaller ones.",
)
@click.option(
    "--max-epochs",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    metavar="N",
    help="How often the proposed mix may repeat a source, unless its max_epochs in the recipe is larger.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the mixtures and runs.")
@click.option(
    "--confirm",
    is_flag=True,
    help="Train the recipe's and the proposed weights on four times the tokens, with three seeds each.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of processes.  [default: one per GPU, or without a GPU one per processor core]",
)
@retry_for_option
@json_option
def search_mix(
    recipe: str,
    tokens: int | None,
    units: Path,
    out: Path,
    runs: int | None,
    confirm: bool,
    tokenizer: Path | None,
    workers: int | None,
    retry_for: float,
    as_json: bool,
    **options: Any,
) -> None:
    """Search the weights of a recipe with small training runs.

    Trains a small model on each of some mixtures of the recipe's units, fits a law to their losses on the targets, and
    writes the recipe with the best weights. Exits with 3, and says why, when the recipe's weights stay. If the search
    is interrupted, run the same command again to resume it.

    Example: gpts-data search-mix --units units --out search --target essays.jsonl
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in smoke-train
    require_training_extra("scipy", "tomlkit")
    from gpts_data.validation.search.options import SearchOptions
    from gpts_data.validation.search.outputs.files import write_outputs
    from gpts_data.validation.search.search import search_mix as search

    resolved, folder = open_recipe(recipe, tokens)
    if not options["targets"]:
        echo(NO_TARGET, err=True)
    chosen = SearchOptions(mixtures=runs, **options)
    arguments, policy = (resolved, folder, units, out, chosen), retry_policy(retry_for)
    with progress() as show:
        result = search(
            *arguments, tokenizer=tokenizer, confirm=confirm, workers=workers, progress=show, retry_policy=policy
        )
    content = write_outputs(out, result, _text(recipe), folder)
    if as_json:
        print_json(content)
    else:
        _show(result, units, out, tokens)
    if not result.accepted:
        echo(f"gpts-data: the recipe's weights stay. {' '.join(result.reasons)}", err=True)
        sys.exit(DataError.exit_code)


def _text(recipe: str) -> str:
    """The text of a recipe that `open_recipe` has opened."""
    from gpts_data.validation.api import PRESETS

    path = Path(recipe)
    return (path if path.is_file() else PRESETS / f"{recipe}.toml").read_text(encoding="utf-8-sig")


def _show(result: SearchResult, units: Path, out: Path, tokens: int | None) -> None:
    """Print the weights, what supports them, and the next command."""
    from gpts_data.cli.tables import new_table, print_table
    from gpts_data.validation.search.outputs.evidence import evidence

    searched = result.measurements
    best = "proposed" if result.accepted else "best by the law"
    table = new_table("weights", ("source", "recipe", best, "at most"))
    rows = zip(searched.sources, searched.recipe, result.proposal.weights, searched.caps, strict=True)
    for name, *weights in rows:
        table.add_row(name, *(f"{weight:.2%}" for weight in weights))
    print_table(table)
    for sentence in evidence(result):
        echo(sentence)
    echo(f"{out}: ratios.csv, metrics.csv, law.json, search.html{', proposed.toml' if result.accepted else ''}")
    if result.accepted:
        echo(
            f"Next: gpts-data build-mix --recipe {out}/proposed.toml --tokenizer {out}/tokenizer --keep-units {units}"
            f"{f' --tokens {tokens}' if tokens else ''} --out mix"
        )
    else:
        echo(f"To search again with more runs, which needs a new folder: {_larger_search(result, out)}")


def _larger_search(result: SearchResult, out: Path) -> str:
    """The same command with twice the mixtures, in another folder."""
    from gpts_data.validation.search.design import RECIPE_RUNS

    context = click.get_current_context()
    values = {
        parameter: context.params[str(parameter.name)]
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    }
    words = ["gpts-data", "search-mix"]
    for parameter, value in values.items():
        if parameter.name in ("runs", "out"):
            continue
        option = parameter.opts[0]
        if value is True:
            words.append(option)
        else:
            words += [word for item in (value if parameter.multiple else [value]) for word in (option, str(item))]
    mixtures = len(result.measurements.runs) - RECIPE_RUNS
    return redact(shlex.join([*words, "--runs", str(2 * mixtures), "--out", f"{out}-2"]))

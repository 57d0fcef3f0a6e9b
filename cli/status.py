"""The `status` command: how far a build is, and the command that continues it."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpts_data.cli.options import PathOrUrl, json_option, print_json
from gpts_data.cli.terminal import echo
from gpts_data.pipelines.errors import UsageError

if TYPE_CHECKING:
    from gpts_data.mixer.build_status import BuildStatus

STAGES = {
    "tokenizer": "training or copying the tokenizer (stage 1 of 5)",
    "prepare": "preparing units: read, filter, encode (stage 2 of 5)",
    "cut": "cutting windows (stage 3 of 5)",
    "shards": "writing shards (stage 4 of 5)",
    "outcomes": "writing what became of each document (stage 5 of 5)",
}

SEARCH = "search.json"  # validation/search/search.py writes it; not imported, because that needs torch


@click.command()
@click.argument("out", metavar="OUT", type=PathOrUrl(path_type=Path))
@json_option
def status(out: Path, as_json: bool) -> None:
    """Show how far a build is, and how to continue it.

    Reads the folder that build-mix writes to, also while a build is at work there, and changes nothing.

    Example: gpts-data status mix
    """
    from gpts_data.mixer.build_status import read_status

    if (out / SEARCH).exists():
        raise UsageError(
            f"{out} is the folder of a search, not a mix or a build; the same command continues it: "
            f"gpts-data search-mix --recipe RECIPE --units UNITS --out {shlex.quote(str(out))}"
        )
    state = read_status(out)
    command = _next_command(state, out)
    if as_json:
        facts = {key: value for key, value in asdict(state).items() if key not in ("recipe", "has_tokenizer")}
        print_json({"finished": state.finished, **facts, "next": command})
        return
    if state.finished:
        tokens = sum(source.tokens for source in state.sources.values())
        echo(f"{out}: finished, {tokens:,} tokens in {state.shards:,} shard(s)")
        echo(f"root digest {state.root_digest}")
        echo(f"Next: {command}")
        return
    _show_unfinished(state, out, command)


def _show_unfinished(state: BuildStatus, out: Path, command: str | None) -> None:
    from gpts_data.cli.tables import new_table, print_table

    work = "a build is at work here" if state.locked else "no build is at work here"
    stage = STAGES.get(state.stage, "given up, because a source was too short; the prepared units are kept")
    echo(f"{out}: {work}; {stage}")
    table = new_table("prepared so far, before deduplication", ("source", "units", "tokens", "needed", ""))
    for name, source in state.sources.items():
        needed = "" if source.needed is None else f"{source.needed:,}"
        share = "" if not source.needed else f"{min(source.tokens / source.needed, 1):.0%}"
        table.add_row(name, f"{source.units:,}", f"{source.tokens:,}", needed, share)
    if state.sources:
        print_table(table)
    if state.stage != "tokenizer" and not any(source.units for source in state.sources.values()):
        echo("Units in a folder of --keep-units are not counted.")
    if state.stage == "shards":
        echo(f"{state.shards:,} of {state.shards_total:,} shards")
    if state.locked:
        echo(f"Next: wait, and run gpts-data status {shlex.quote(str(out))} again")
    elif command:
        echo(f"Next: the same build-mix command: {command}")
    else:
        echo("Next: build-mix with fewer --tokens or more files; it reuses the units that fit")


def _next_command(state: BuildStatus, out: Path) -> str | None:
    """The command that continues; words in capitals stand for what the folder does not record."""
    if state.finished:
        return f"gpts-data verify {shlex.quote(str(out))}"
    if state.recipe is None:
        return None
    options = ["--recipe", _recipe_option(state.recipe), "--tokens", str(state.recipe["tokens"])]
    if state.has_tokenizer:
        options += ["--tokenizer", "DIR"]
    if state.recipe["keep_dropped"]:
        options += ["--keep-dropped", str(state.recipe["keep_dropped"])]
    return f"gpts-data build-mix {' '.join(options)} --out {shlex.quote(str(out))}"


def _recipe_option(recipe: dict[str, Any]) -> str:
    """The name of the preset that this recipe is, or RECIPE: the folder does not record where the file lies."""
    from gpts_data.mixer.recipe import resolved
    from gpts_data.validation.api import PRESETS, load_recipe

    if (PRESETS / f"{recipe['name']}.toml").is_file():
        preset = replace(load_recipe(recipe["name"], recipe["tokens"]), keep_dropped=recipe["keep_dropped"])
        if resolved(preset) == recipe:
            return str(recipe["name"])
    return "RECIPE"

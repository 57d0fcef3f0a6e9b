"""Writes reference.md out of the code: `python docs/make_reference.py`. A test checks that it is up to date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import click

from gpts_data.cli.main import CONTEXT, cli
from gpts_data.mixer.recipe import Recipe, RecipeSource, Validation
from gpts_data.pipelines.decontaminate import Decontaminate
from gpts_data.pipelines.filters import Clean
from gpts_data.pipelines.signatures import Dedup, MinHash
from gpts_data.tokenizer.train import Training

TABLES: dict[str, Any] = {
    "(top)": Recipe, "[[source]]": RecipeSource, "[tokenizer]": Training, "[clean]": Clean, "[dedup]": Dedup,
    "dedup.minhash": MinHash, "[decontaminate]": Decontaminate, "[validation]": Validation,
}  # fmt: skip


def reference() -> str:
    head = ["# Reference", "", "Generated from the code by `python docs/make_reference.py`.", ""]
    return "\n".join([*head, "## Commands", "", *commands(), "## Keys of a recipe", "", *recipe()])


def commands() -> Iterator[str]:
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"gpts-data {name}", **{**CONTEXT, "max_content_width": 100})
        context.terminal_width = 100
        yield from (f"### {name}", "", "```text", command.get_help(context), "```", "")


def recipe() -> Iterator[str]:
    for title, kind in TABLES.items():
        yield from (f"### `{title}`", "", re.sub(r"\s+", " ", kind.__doc__ or "").strip(), "")
        yield from ("| key | default |", "|---|---|")
        yield from (f"| `{field.name}` | {_default(field)} |" for field in fields(kind))
        yield ""


def _default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
    return "its own table" if is_dataclass(value) else f"`{value!r}`" if value not in (None, (), {}) else "none"


if __name__ == "__main__":
    (Path(__file__).parent / "reference.md").write_text(reference())

"""Writes reference.md out of the code: `python docs/make_reference.py`. A test checks that it is up to date."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import click

from gpts_data.cli.main import CONTEXT, cli
from gpts_data.mixer.recipe import Packing, Recipe, RecipeSource, Validation
from gpts_data.mixer.recipe_exclude import Exclude
from gpts_data.mixer.recipe_stages import Stage
from gpts_data.pipelines import errors
from gpts_data.pipelines.decontaminate.benchmarks import Benchmark
from gpts_data.pipelines.decontaminate.index import Decontaminate
from gpts_data.pipelines.dedup.signatures import Dedup, MinHash
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.readers.draw_order import Draw
from gpts_data.tokenizer.train import Training
from gpts_data.validation import api

TABLES: dict[str, Any] = {
    "(top)": Recipe,
    "[draw]": Draw,
    "[[source]]": RecipeSource,
    "[[stage]]": Stage,
    "[tokenizer]": Training,
    "[clean], [source.clean]": CleanConfig,
    "[dedup]": Dedup,
    "dedup.minhash": MinHash,
    "[decontaminate]": Decontaminate,
    "[[decontaminate.benchmark]]": Benchmark,
    "[exclude]": Exclude,
    "[validation]": Validation,
    "[packing]": Packing,
}
BAR = r"\|"  # in a cell of a table


def reference() -> str:
    head = ["# Reference", "", "Generated from the code by `python docs/make_reference.py`.", ""]
    return "\n".join([*head, "## Commands", "", *commands(), *exit_codes(), *recipe(), *python()])


def commands() -> Iterator[str]:
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"gpts-data {name}", **{**CONTEXT, "max_content_width": 100})
        context.terminal_width = 100
        yield from (f"### {name}", "", "```text", command.get_help(context), "```", "")


def exit_codes() -> Iterator[str]:
    tree = inspect.cleandoc(errors.__doc__ or "").partition("\n\n")[2].partition("\n\n")[0]
    yield from ("## Exit codes", "", "0 is ok, 130 interrupted. The others are those of the errors, by class:", "")
    yield from ("```text", tree, "```", "")


def recipe() -> Iterator[str]:
    yield from (
        "## Keys of a recipe",
        "",
        "Any other key is an error. Quantities may be written `25B`, `64MB`, `1GiB`.",
        "",
    )
    for title, kind in TABLES.items():
        meanings = said_of_fields(kind)
        yield from (f"### `{title}`", "", _one_line(kind.__doc__), "")
        yield from table(("key", "default", ""), [(f"`{f.name}`", _default(f), meanings[f.name]) for f in fields(kind)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', BAR) for cell in row)} |"
    yield ""


def said_of_fields(kind: type) -> dict[str, str]:
    """The strings that stand below the fields of a dataclass and of those it is made from."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        (body,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
                found[field.target.id] = _one_line(ast.literal_eval(below.value))
    return found


def python() -> Iterator[str]:
    yield from ("## Python", "", "`from gpts_data.validation.api import ...`; the README has an example.", "")
    yield from (inspect.cleandoc(api.__doc__ or "").rpartition("\n\n")[2], "")
    things = [getattr(api, name) for name in api.__all__]
    for thing in sorted(things, key=lambda thing: isinstance(thing, type)):
        yield from described(thing)


def described(thing: Any) -> Iterator[str]:
    """A function: how it is called, and what it says of itself. A class: the same, its fields and its methods."""
    yield from (f"### `{thing.__name__}`", "")
    if not isinstance(thing, type):
        yield from ("```text", _call(thing.__name__, thing, ",\n    "), "```", "")
    yield from (inspect.cleandoc(thing.__doc__ or ""), "")
    if isinstance(thing, type):
        said = said_of_fields(thing)
        own = [] if thing is Recipe else [(f"{f.name}: {f.type}", said.get(f.name, "")) for f in fields(thing)]
        yield from table(("", ""), [(f"`{name}`", text) for name, text in [*own, *methods(thing)]])


def methods(kind: type) -> Iterator[tuple[str, str]]:
    for name, member in vars(kind).items():
        function = getattr(member, "fget", None) or getattr(member, "func", None) or member
        if inspect.isfunction(function) and not name.startswith("_"):
            result = str(inspect.signature(function).return_annotation)
            yield (_call(name, function) if function is member else f"{name}: {result}"), _one_line(function.__doc__)


def _call(name: str, function: Any, between: str = ", ") -> str:
    """`name(a: int, b: str = ...) -> str`, without the quotes that annotations are kept in."""
    signature = inspect.signature(function)
    taken = [
        p.replace(default=...) if callable(p.default) and p.default is not p.empty else p
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    parts = [str(p).replace("Ellipsis", "...") for p in taken]
    keywords = next((i for i, p in enumerate(taken) if p.kind is p.KEYWORD_ONLY), None)
    if keywords is not None:
        parts.insert(keywords, "*")
    return f"{name}({between.join(parts)}) -> {signature.return_annotation}".replace("'", "")


def _one_line(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def _default(field: Field[Any]) -> str:
    """As it would stand in a recipe."""
    if field.default is MISSING and field.default_factory is MISSING:
        return "required"
    value = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
    return "its own table" if is_dataclass(value) else "none" if value in (None, (), {}) else f"`{json.dumps(value)}`"


if __name__ == "__main__":
    (Path(__file__).parent / "reference.md").write_text(reference(), encoding="utf-8")

"""Options that several commands share, and the one way a command answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from gpts_data.mixer.recipe import Recipe

Command = TypeVar("Command", bound=Callable[..., Any])
VERBOSITY = "gpts_data.verbosity"  # -1 quiet, 1 verbose


class Quantity(click.ParamType[int]):
    """`25B`, `2M`, `64MB`, `1GiB` or a plain number."""

    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from gpts_data.mixer.recipe import parse_bytes

        try:
            return parse_bytes(value)
        except ValueError:
            self.fail(f"{value!r} is not a quantity such as 25B, 2M or 64MB", param, ctx)


class DurationParam(click.ParamType[float]):
    """`90s`, `30min`, `1h`, or seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|h)?", str(value).strip())
        if not match:
            self.fail(f"{value!r} is not a duration such as 90s, 30min or 1h", param, ctx)
        return float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2] or "s"]


class PathOrUrl(click.Path):
    """A path, or the address of a store: `s3://bucket/mix`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "://" not in str(value):
            return super().convert(value, param, ctx)
        from gpts_data.pipelines.storage.paths import as_path

        return as_path(str(value))


def recipe_option(command: Command) -> Command:
    return click.option(
        "--recipe",
        default="gpt-s-5m",
        show_default=True,
        metavar="NAME|FILE",
        help="A preset (gpt-s-5m, sample) or a TOML file.",
    )(command)


def workers_options(command: Command) -> Command:
    command = click.option("--scheduler", metavar="ADDRESS", help="A running dask scheduler, tcp://host:port.")(command)
    return workers_option(command)


def workers_option(command: Command) -> Command:
    return click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Processes on this machine; the result does not depend on it.",
    )(command)


def retry_for_option(command: Command) -> Command:
    return click.option(
        "--retry-for",
        "--patience",
        "retry_for",
        type=DurationParam(),
        default="1h",
        show_default=True,
        metavar="TIME",
        help="How long a source that does not answer is asked again before giving up (exit 4, resumable).",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")(
        command
    )


def verbosity_options() -> list[click.Parameter]:
    """`-q` and `-v`, of every command."""

    def say(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
        def keep(ctx: click.Context, _: click.Parameter, given: bool) -> None:
            if given:
                ctx.meta[VERBOSITY] = level

        return keep

    return [
        click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=say(-1), help="No progress."),
        click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=say(1), help="A line a unit."),
    ]


mix_argument = click.argument("folder", metavar="DIR", type=PathOrUrl(path_type=Path))


def open_recipe(recipe: str, tokens: int | None) -> tuple[Recipe, Path]:
    """The recipe and the folder its globs are relative to. A name that is no file is a preset's."""
    from gpts_data.validation.api import find_recipe

    return find_recipe(recipe, tokens)


def print_json(value: Any) -> None:
    click.echo(json.dumps(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value))

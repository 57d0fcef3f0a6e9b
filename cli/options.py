"""Options and arguments that several commands share, and the one function that prints JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gpts_data.pipelines.errors import UsageError

if TYPE_CHECKING:
    from gpts_data.mixer.recipe import Recipe
    from gpts_data.pipelines.hub.retry import RetryPolicy

    IntParam = click.ParamType[int]
    FloatParam = click.ParamType[float]
else:
    IntParam = FloatParam = click.ParamType  # click below 8.2 has no generic ParamType

Command = TypeVar("Command", bound=Callable[..., Any])
VERBOSITY = "gpts_data.verbosity"  # key in click's context: -1 quiet, 0 normal, 1 verbose


class Quantity(IntParam):
    """A number of tokens, bytes or entries: `25B`, `2M`, `64MB`, `1GiB` or plain digits."""

    name = "quantity"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from gpts_data.mixer.quantities import parse_bytes

        try:
            return parse_bytes(value)
        except ValueError:
            self.fail(f"{value!r} is not a quantity such as 25B, 2M or 64MB", param, ctx)


class Position(Quantity):
    """A number counted from 0: `0`, or a quantity such as `5000`, `1k` or `1M`."""

    name = "position"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return 0 if str(value) == "0" else super().convert(value, param, ctx)


class DurationParam(FloatParam):
    """A time in seconds: `90s`, `30min`, `1h` or plain digits."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(s|min|h)?", str(value).strip())
        if not match:
            self.fail(f"{value!r} is not a duration such as 90s, 30min or 1h", param, ctx)
        return float(match[1]) * {"s": 1, "min": 60, "h": 3600}[match[2] or "s"]


class Workers(IntParam):
    """A number of worker processes, or `auto`."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if str(value) == "auto":
            return 0  # execute.AUTO, whose module takes 0.1 s to import
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is not a number of workers: expected 1 or more, or auto", param, ctx)
        return int(value)


class Name(click.Choice):  # type: ignore[type-arg]  # click below 8.2 has no generic Choice
    """One of several names, in any case; a message on an unknown one says which was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from gpts_data.pipelines.suggestion import suggest

        by_folded = {choice.casefold(): choice for choice in self.choices}
        if str(value).casefold() not in by_folded:
            self.fail(f"{value!r} is unknown; {suggest(str(value), self.choices)}", param, ctx)
        return by_folded[str(value).casefold()]


class PathOrUrl(click.Path):
    """A local path, or the URL of a folder in an object store: `s3://bucket/mix`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ":/" in str(value):
            from gpts_data.pipelines.storage.paths import as_path, is_store

            path = as_path(str(value))
            if is_store(path):
                return path
        return super().convert(value, param, ctx)


mix_argument = click.argument("folder", metavar="DIR", type=PathOrUrl(path_type=Path))
recipe_option = click.option(
    "--recipe",
    default="gpt-s-5m",
    show_default=True,
    metavar="NAME|FILE",
    help="A preset (gpt-s-5m, slm-10m, smollm, climbmix, sample, sample-stages) or a TOML file.",
)
tokens_option = click.option(
    "--tokens",
    type=Quantity(),
    metavar="N",
    help="Number of training tokens, such as 25B.  [default: the recipe's]",
)
workers_option = click.option(
    "--workers",
    type=Workers(),
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Number of worker processes on this machine; auto chooses by the size of the job, processors and memory. The "
    "result is the same for any number.",
)
scheduler_option = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Run on the workers of the dask scheduler at tcp://host:port instead.",
)
retry_for_option = click.option(
    "--retry-for",
    "--patience",
    "retry_for",
    type=DurationParam(),
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long to retry a source that does not respond, such as 90s or 30min. Then the command exits with 4, and "
    "can be resumed. --patience is the old name.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result on stdout as one JSON object and nothing else."
)


def workers_options(command: Command) -> Command:
    return workers_option(scheduler_option(command))


def verbosity_options() -> list[click.Parameter]:
    """`-q` and `-v`, which every command has."""

    def set_level(level: int) -> Callable[[click.Context, click.Parameter, bool], None]:
        def store(ctx: click.Context, _: click.Parameter, given: bool) -> None:
            if given:
                ctx.meta[VERBOSITY] = level

        return store

    def flag(short: str, long: str, level: int, text: str) -> click.Option:
        return click.Option([short, long], is_flag=True, expose_value=False, callback=set_level(level), help=text)

    return [
        flag("-q", "--quiet", -1, "Do not report progress."),
        flag("-v", "--verbose", 1, "Print one line per unit."),
    ]


def refuse_undecodable(arguments: Sequence[str]) -> None:
    """Raise `UsageError` for an argument that is not text: it could not become a part of a manifest or of JSON."""
    from gpts_data.pipelines.text.control_characters import escape_line

    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):  # bytes that Python could not decode
            encoding = sys.getfilesystemencoding()
            advice = "" if encoding == "utf-8" else ", or set LC_ALL=C.UTF-8 if it is UTF-8"
            shown = escape_line(argument)
            raise UsageError(f"the argument '{shown}' is not {encoding.upper()}; choose another name{advice}")


def open_recipe(recipe: str, tokens: int | None) -> tuple[Recipe, Path]:
    """The recipe, and the folder that its file patterns are relative to. A name without a file is that of a preset."""
    from gpts_data.validation.api import find_recipe

    return find_recipe(recipe, tokens)


def retry_policy(retry_for: float) -> RetryPolicy:
    """The policy of `--retry-for`, in seconds."""
    from gpts_data.pipelines.hub.retry import RetryPolicy

    return RetryPolicy.lasting(retry_for)


def print_json(value: Any) -> None:
    click.echo(json.dumps(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value))

"""The last line of an error: a command to copy."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from gpts_data.pipelines.errors import (
    DataError,
    ForeignFolderError,
    GptsDataError,
    LockedError,
    RecipeError,
    SourceUnavailableError,
    StorageError,
    redact,
)

COMMAND = re.compile(r"\bgpts-data [a-z][a-z-]+|\bpip install |\bpython -c ")


def next_step(error: type[GptsDataError], message: str, arguments: Sequence[str]) -> str | None:
    """The line below `message`; None when the message itself has a command.

    What may pass is tried again with the same command. A corrected recipe is checked by `plan`, which writes nothing.
    Otherwise the help of the command shows what it expects.
    """
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    if COMMAND.search(message) or not command:
        return None
    if issubclass(error, SourceUnavailableError | StorageError | LockedError):
        return f"Next: {redact(shlex.join(['gpts-data', *arguments]))}"
    if issubclass(error, ForeignFolderError) and "inside" not in message and (out := _option(arguments, "--out")):
        other = _with(arguments, "--out", f"{out.rstrip('/')}-2")
        return f"Next: {redact(shlex.join(other))}"
    recipe = _option(arguments, "--recipe")
    if issubclass(error, RecipeError | DataError) and recipe:
        tokens = _option(arguments, "--tokens")
        options = ["--recipe", recipe, *(["--tokens", tokens] if tokens else [])]
        return f"Next: correct this, then {redact(shlex.join(['gpts-data', 'plan', *options]))}"
    return f"Next: gpts-data {command} --help"


def _option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option, given as `--name value` or `--name=value`."""
    for i, argument in enumerate(arguments):
        if argument == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    return None


def _with(arguments: Sequence[str], name: str, value: str) -> list[str]:
    """The command line with another value of an option."""
    words = ["gpts-data", *arguments]
    for i, word in enumerate(words):
        if word == name:
            words[i + 1] = value
        elif word.startswith(f"{name}="):
            words[i] = f"{name}={value}"
    return words

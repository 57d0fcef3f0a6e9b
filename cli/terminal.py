"""The one way to the terminal: everything that a command prints, except JSON, passes `echo` or `new_console`.

Both escape control characters, because texts, ids, URLs, names and answers of servers are a stranger's. Both survive a
stderr that is closed, full or gone: a build does not end because nobody reads its progress.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

import click

from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.text.control_characters import escape

if TYPE_CHECKING:
    from rich.console import Console


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a line on stdout, or on stderr if `err`, with control characters escaped."""
    click.echo(escape(str(text)), err=err)


def new_console(*, stderr: bool = False) -> Console:
    """A console of rich that escapes control characters and takes nothing in a text for markup."""
    from gpts_data.cli.escaping_console import EscapingConsole

    return EscapingConsole(stderr=stderr, markup=False, highlight=False, emoji=False)


def prepare_streams() -> None:
    """Make stdin, stdout and stderr usable whatever they are; called once when the program begins.

    A closed one is opened on the null device: the next file would get its number, and what a library prints would end
    up in that file. A character that stdout's encoding lacks is escaped.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115 - for the life of the program
    sys.stdout = _prepared(sys.stdout, lossy=False)
    sys.stderr = _prepared(sys.stderr, lossy=True)


def _prepared(stream: TextIO | None, *, lossy: bool) -> TextIO:
    if isinstance(stream, _Stream):
        return cast(TextIO, stream)
    stream = stream or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the life of the program
    if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    return cast(TextIO, _Stream(stream, lossy=lossy))


class _Stream:
    """A text stream whose failure to write is dropped if `lossy`, or else raised once as `StorageError`.

    Python writes what is left in a stream when it exits; a second failure there would replace the exit code by 120.
    """

    def __init__(self, stream: TextIO, *, lossy: bool) -> None:
        self._stream, self._silent = stream, lossy

    def write(self, text: str) -> int:
        if text == "":  # click writes it to see what kind of stream this is, and drops the error that it would raise
            return 0
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._fail(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: OSError | ValueError) -> None:
        if self._silent:
            return
        if isinstance(error, BrokenPipeError):  # `| head`: click ends the command
            raise error
        self._silent = True
        reason = error.strerror if isinstance(error, OSError) else error
        raise StorageError(f"cannot write to stdout: {reason}; what the command has made is complete") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

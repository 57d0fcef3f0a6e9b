"""The `gpts-data` command: the group of all commands, which turns errors into messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from gpts_data.cli.build import build_mix, train_tokenizer
from gpts_data.cli.check import doctor, inspect, verify
from gpts_data.cli.demo import demo
from gpts_data.cli.diff import diff
from gpts_data.cli.export import export
from gpts_data.cli.init import init
from gpts_data.cli.models import evaluate, export_model
from gpts_data.cli.next_step import next_step
from gpts_data.cli.options import print_json, refuse_undecodable, verbosity_options
from gpts_data.cli.plan import plan
from gpts_data.cli.search_mix import search_mix
from gpts_data.cli.status import status
from gpts_data.cli.terminal import echo, prepare_streams
from gpts_data.cli.tokenizer_report import tokenizer_report
from gpts_data.cli.trace import trace
from gpts_data.cli.train import smoke_train
from gpts_data.pipelines.errors import GptsDataError, StorageError, UsageError, is_out_of_memory, out_of_memory_message
from gpts_data.pipelines.text.control_characters import escape, escape_line

INTERRUPTED = 130
MAX_NAME = 200  # characters of a name in a message
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class ErrorHandlingGroup(click.Group):
    """Prints an error and a command to copy, and exits with the exit code of its class; with --debug, raises it.

    With --json, the error is also printed on stdout, as one object.
    """

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        prepare_streams()
        self._arguments = list(sys.argv[1:] if args is None else args)
        self._as_json = "--json" in self._arguments
        return super().main(args, *more, **options)

    def _fail(self, kind: str, message: str, exit_code: int, error: type[GptsDataError] | None = None) -> NoReturn:
        echo(f"gpts-data: {message}", err=True)
        other = StorageError if exit_code in (StorageError.exit_code, INTERRUPTED) else UsageError
        if command := next_step(error or other, message, self._arguments):
            echo(command, err=True)
        self._print_as_json(kind, message, exit_code)
        sys.exit(exit_code)

    def _print_as_json(self, kind: str, message: str, exit_code: int) -> None:
        if self._as_json:
            with suppress(GptsDataError, OSError):  # stdout itself may be what failed
                print_json({"error": {"kind": kind, "message": message, "exit_code": exit_code}})
                sys.stdout.flush()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            refuse_undecodable(args)
            _check_current_folder()
            return super().parse_args(ctx, args)  # prints for --help and --version
        except GptsDataError as error:
            self._fail(type(error).__name__, str(error), error.exit_code, type(error))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # while its errors are still answered
            return result
        except GptsDataError as error:
            if ctx.params.get("debug"):
                raise
            self._fail(type(error).__name__, str(error), error.exit_code, type(error))
        except click.ClickException as error:  # of usage; click prints it
            error.message = escape(error.message)  # type: ignore[misc]  # final in click, which has no other way
            self._print_as_json(UsageError.__name__, error.format_message(), error.exit_code)
            raise
        except (click.exceptions.Exit, click.Abort):
            raise  # of --help: click handles them, without the imports below
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))  # Ctrl-C again, while threads are waited for
            self._fail("Interrupted", "interrupted; run the same command again to resume", INTERRUPTED)
        except BaseException as error:  # a panic in the Rust of tokenizers is no Exception
            answer = None if ctx.params.get("debug") else _answer(error)
            if answer is None:
                raise
            self._fail(*answer)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of COMMANDS, not by name


def _check_current_folder() -> None:
    """Raise `UsageError` when the current folder was removed: every relative path would then fail without its name."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise UsageError("the current folder no longer exists; change to another one") from error


def _answer(error: BaseException) -> tuple[str, str, int] | None:
    """The kind, message and exit code for an error of the machine or of a library; None for a fault of ours."""
    if is_out_of_memory(error):
        return GptsDataError.__name__, out_of_memory_message(error), GptsDataError.exit_code
    if not isinstance(error, Exception):  # SystemExit
        return None
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        name = escape_line(error.object[-MAX_NAME:])
        message = f"the name '{name}' is not UTF-8; rename that folder or file, or use another"
        return UsageError.__name__, message, UsageError.exit_code
    from gpts_data.pipelines.storage.atomic_files import disk_error_message
    from gpts_data.pipelines.storage.paths import is_store_error, store_error_message

    if is_store_error(error):
        message = store_error_message(error, "the store")
    elif isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        message = disk_error_message(error)  # a file that cannot be read: failed writes are StorageErrors already
    else:
        return None  # a closed pipe as well, which click handles
    unexplained = f"{type(error).__name__}: no reason was given; run the same command again"
    return StorageError.__name__, message or unexplained, StorageError.exit_code


@click.group(cls=ErrorHandlingGroup, context_settings=CONTEXT)
@click.version_option(package_name="gpts-data")
@click.option("--debug", is_flag=True, help="Show a traceback when a command fails.")
def cli(debug: bool) -> None:
    """Build pretraining data for small language models: filtered, deduplicated, tokenized and packed into shards with
    exact mixture weights.

    Start with: gpts-data demo
    """


COMMANDS = (  # in the order of `gpts-data --help`: that of use
    demo,
    init,
    plan,
    doctor,
    train_tokenizer,
    tokenizer_report,
    build_mix,
    status,
    inspect,
    trace,
    verify,
    diff,
    export,
    search_mix,
    smoke_train,
    export_model,
    evaluate,
)
for command in COMMANDS:
    command.params += verbosity_options()
    cli.add_command(command)

"""The `gpts-data` command: a group whose only work is to turn errors into messages and exit codes."""

from __future__ import annotations

import sys
from typing import Any

import click

from gpts_data.cli.build import build_mix, train_tokenizer
from gpts_data.cli.check import doctor, inspect, trace, verify
from gpts_data.cli.demo import demo
from gpts_data.cli.export import export
from gpts_data.cli.models import evaluate, export_model
from gpts_data.cli.options import verbosity_options
from gpts_data.cli.plan import plan
from gpts_data.cli.tokenizer_report import tokenizer_report
from gpts_data.cli.train import smoke_train
from gpts_data.pipelines.errors import GptsDataError, StorageError

INTERRUPTED = 130
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class ErrorHandlingGroup(click.Group):
    """Ends the process with the exit code of the error's class; a traceback only under --debug."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GptsDataError as error:
            if ctx.params.get("debug"):
                raise
            click.echo(f"gpts-data: {error}", err=True)
            sys.exit(error.exit_code)
        except Exception as error:
            from gpts_data.pipelines.storage.paths import is_store_error, store_error_message

            # A file that cannot be read; what cannot be written says so itself. A closed pipe is click's to handle.
            unreadable = isinstance(error, OSError) and not isinstance(error, BrokenPipeError)
            if ctx.params.get("debug") or not (unreadable or is_store_error(error)):
                raise
            click.echo(
                f"gpts-data: {store_error_message(error, 'the store') if is_store_error(error) else error}", err=True
            )
            sys.exit(StorageError.exit_code)
        except KeyboardInterrupt:
            click.echo("gpts-data: interrupted; run the same command again to go on", err=True)
            sys.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order of use


@click.group(cls=ErrorHandlingGroup, context_settings=CONTEXT)
@click.version_option(package_name="gpts-data")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """From text datasets to verified, training-ready shards of exactly the mix you asked for.

    Start with: gpts-data demo
    """


COMMANDS = (
    demo,
    plan,
    doctor,
    train_tokenizer,
    tokenizer_report,
    build_mix,
    inspect,
    trace,
    verify,
    export,
    smoke_train,
    export_model,
    evaluate,
)
for command in COMMANDS:
    command.params += verbosity_options()
    cli.add_command(command)

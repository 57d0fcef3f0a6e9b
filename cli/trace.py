"""The `trace` command: from a token to its document, or where a document went."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpts_data.cli.options import Position, json_option, mix_argument, print_json
from gpts_data.cli.terminal import echo
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.text.control_characters import escape_line

if TYPE_CHECKING:
    from gpts_data.mixer.format.mix import Mix


@click.command()
@mix_argument
@click.option(
    "--token", type=Position(), metavar="N", help="Token N of the training order, counted from 0, such as 5000 or 1k."
)
@click.option("--window", type=Position(), metavar="N", help="First token of window N of the training order.")
@click.option("--shard", type=int, metavar="S", help="With --row: first token of row R in shard S.")
@click.option("--row", type=int, metavar="R", help="With --shard: the row.")
@click.option("--document", metavar="ID", help="Instead of a token: where this document went, or why it was dropped.")
@click.option(
    "--sources",
    default=".",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="With --document: the recipe's folder. A dropped document is read again there and measured.",
)
@click.option("--full", is_flag=True, help="Print the whole text of the document, not only what is around the token.")
@json_option
def trace(
    folder: Path,
    token: int | None,
    window: int | None,
    shard: int | None,
    row: int | None,
    document: str | None,
    sources: Path,
    full: bool,
    as_json: bool,
) -> None:
    """Trace a token to its document, or find a document.

    Prints the source, id, URL and revision of the document that a token of the training order came from, and its text
    around the token. With --document it prints the windows that hold the document, or the reason why it was dropped.

    Example: gpts-data trace mix --token 1000
    """
    from gpts_data.mixer.format.mix import open_mix
    from gpts_data.mixer.format.training_order import token_number

    given = [token is not None, window is not None, shard is not None, document is not None]
    if given.count(True) != 1 or (shard is None) != (row is None):
        raise UsageError("trace: expected --token N, or --window N, or --shard S and --row R, or --document ID")
    mix = open_mix(folder)
    if document is not None:
        _print_outcomes(mix, document, sources, full, as_json)
        return
    if shard is not None and row is not None:
        token = token_number(mix, shard, row)
    elif window is not None:
        token = window * mix.window
    _print_origin(mix, token or 0, full, as_json)


def _print_origin(mix: Mix, token: int, full: bool, as_json: bool) -> None:
    from gpts_data.mixer.format.trace import trace as trace_token
    from gpts_data.validation.explain.excerpt import excerpt

    origin = trace_token(mix, token)
    if as_json:
        print_json({"token": token, **asdict(origin)})
        return
    _print_fields(asdict(origin), without=("text",))
    echo(f"\n{origin.text if full else excerpt(mix, token, origin)}")


def _print_outcomes(mix: Mix, document: str, sources: Path, full: bool, as_json: bool) -> None:
    from gpts_data.validation.explain.document import explain_document

    outcomes = explain_document(mix, document, sources)
    if as_json:
        documents = [{"document_token_offset": 0, **asdict(outcome)} for outcome in outcomes]
        print_json({**documents[0], "documents": documents})
        return
    for outcome in outcomes:
        fields = {key: value for key, value in asdict(outcome).items() if value not in (None, ()) and key != "location"}
        _print_fields(fields, without=("text", "lines", "kept"))
        for line in outcome.lines:
            echo(f"    {line}")
        for key, value in asdict(outcome.kept).items() if outcome.kept else ():
            echo(f"{'kept ' + key:>22}  {escape_line(str(value))}")
        for span in outcome.location.windows if outcome.location else ():
            positions = ", ".join(f"{position:,}" for position in span.positions)
            echo(f"  tokens {span.start} to {span.stop - 1} of window {positions} of the training order")
        if full and outcome.text is not None:
            echo(f"\n{outcome.text}")


def _print_fields(fields: dict[str, Any], without: tuple[str, ...]) -> None:
    for key, value in fields.items():
        if key not in without:
            echo(f"{key:>22}  {escape_line(str(value))}")

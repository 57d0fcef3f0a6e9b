"""The `diff` command: what differs between two mixes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpts_data.cli.options import PathOrUrl, json_option, print_json
from gpts_data.cli.output_file import output_file
from gpts_data.cli.terminal import echo
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.text.control_characters import escape_line

if TYPE_CHECKING:
    from gpts_data.validation.diff import MixDifference, ValueDifference

MIX = PathOrUrl(path_type=Path)
MAX_SHOWN = 60  # characters of a value


@click.command()
@click.argument("a", metavar="MIX_A", type=MIX)
@click.argument("b", metavar="MIX_B", type=MIX)
@click.option(
    "--documents",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write every document that only one of the mixes has to FILE, a .csv or .parquet file.",
)
@json_option
def diff(a: Path, b: Path, documents: Path | None, as_json: bool) -> None:
    """Show what differs between two mixes.

    Compares their documents by source and id, their windows position by position, recipes and digests. It exits with
    0 also when they differ.

    Example: gpts-data diff mix mix-without-removed --documents removed.csv
    """
    from gpts_data.mixer.format.mix import open_mix
    from gpts_data.validation.diff import diff as compare
    from gpts_data.validation.diff import write_documents

    if documents and documents.suffix not in (".csv", ".parquet"):
        raise UsageError(f"--documents {documents}: expected a file name that ends with .csv or .parquet")
    mix_a, mix_b = open_mix(a), open_mix(b)
    target = output_file(documents, "--documents", mix_a.path, mix_b.path) if documents else None
    difference = compare(mix_a, mix_b)
    n_written = write_documents(mix_a, mix_b, target) if target else None
    if as_json:
        print_json(difference)
        return
    _show(difference)
    if n_written is not None:
        echo(f"{documents}: {n_written:,} documents that only one of the mixes has")


def _show(difference: MixDifference) -> None:
    from gpts_data.cli.tables import new_table, print_table

    columns = ("", "share in A", "share in B", "documents in A", "in B", "only in A", "only in B")
    table = new_table("A and B have the same contents" if difference.same else "A and B differ", columns)
    for name, source in difference.sources.items():
        counts = (source.documents_a, source.documents_b, source.n_only_a, source.n_only_b)
        shares = (f"{source.share_a:.4%}", f"{source.share_b:.4%}")
        table.add_row(name, *shares, *(f"{count:,}" for count in counts))
    print_table(table)
    for name, source in difference.sources.items():
        for side, count, ids in (("A", source.n_only_a, source.only_a), ("B", source.n_only_b, source.only_b)):
            if count:
                more = f" and {count - len(ids):,} more (--documents FILE writes all)" if count > len(ids) else ""
                echo(escape_line(f" {name}, only in {side}: {', '.join(ids)}{more}"))
    echo(f" {_windows(difference)}")
    for value in (*difference.recipe, *difference.digests):
        echo(escape_line(f" {_value(value)}"))


def _windows(difference: MixDifference) -> str:
    if not difference.compared_windows:
        return "windows have other sizes, so they were not compared"
    sizes = difference.windows_a, difference.windows_b
    more = "" if sizes[0] == sizes[1] else f"; A has {sizes[0]:,} windows, B {sizes[1]:,}"
    return f"windows: {difference.differing_windows:,} of {difference.compared_windows:,} positions differ{more}"


def _value(value: ValueDifference) -> str:
    return f"{value.key}: {_shorten(value.a)} in A, {_shorten(value.b)} in B"


def _shorten(value: Any) -> str:
    text = "absent" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN + 6 else f"{text[:MAX_SHOWN]}..."

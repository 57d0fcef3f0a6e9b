"""Results of the commands as tables and lines on stdout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gpts_data.cli.terminal import echo, new_console
from gpts_data.pipelines.readers.kinds import compression_of

if TYPE_CHECKING:
    from rich.console import Console

    from gpts_data.mixer.format.manifest_types import Manifest
    from gpts_data.validation.doctor.check import Check

COLUMNS = 79  # width of wrapped text
BYTES_PER_TOKEN = 3.4  # of text, with a vocabulary of 4,096 entries
MUCH_PADDING = 0.05  # share of a source's tokens; 4.6% is what packing into windows of 4,096 left (docs/formats.md)
UNITS_PER_FILE = 3  # 2.2 units for each of several equal files are enough to draw from all of them (draw_order.py)


def show_mix(summary: dict[str, Any]) -> None:
    """Print target and actual shares of a mix, then how many documents were read, kept and dropped for each reason.

    `summary` is what `validation.inspect.inspect` returns.
    """
    title = f"{summary['name']}: {summary['windows']:,} windows, {summary['tokens']:,} tokens"
    mix = _sources(title, summary["sources"])
    console = new_console()
    if _width(mix) > console.width:
        mix = _sources(title, summary["sources"], without="windows")
    print_table(mix)
    if len(summary["stages"]) > 1:
        print_parts(lambda names: _stages(summary["stages"], names), list(summary["sources"]))
    for name, source in summary["sources"].items():
        if source["epochs"] > 1:
            repeats = ", ".join(f"{count:,} windows {times}x" for times, count in source["repeats"].items())
            console.print(f" {name}: repeated for {source['epochs']:.2f} epochs: {repeats}", highlight=False)
        if source["files_read"] < source["files_total"]:
            console.print(
                f" {name}: text from {source['files_read']:,} of {source['files_total']:,} files", highlight=False
            )
        if "padding" in source:
            padding = source["padding"]
            console.print(f" {name}: {padding['tokens']:,} tokens of padding ({padding['share']:.3%})", highlight=False)
    falls = summary["waterfall"]
    print_parts(lambda names: _waterfall(falls, names), list(falls))
    if any("over_budget" in fall["dropped"] for fall in summary["waterfall"].values()):
        console.print(" over_budget: exceeds the token budget", highlight=False)
    show_large_losses({name: (fall["read"], fall["dropped"]) for name, fall in summary["waterfall"].items()})
    if any(count for row in summary["overlap"].values() for count in row.values()):
        print_parts(lambda names: _overlap(summary["overlap"], names), list(summary["overlap"]))
    if "decontamination" in summary:
        _show_decontamination(console, summary["decontamination"], tuple(summary["sources"]))
    console.print(f" root digest {summary['root_digest']}", highlight=False)


def _sources(title: str, sources: dict[str, Any], without: str = "") -> Any:
    """One row for each source; a column may be left out, so that the table fits 80 columns."""
    cells = {
        name: {
            "target": f"{source['wanted']:.2%}",
            "actual": f"{source['share']:.3%}",
            "windows": f"{source['windows']:,}",
            "tokens": f"{source['tokens']:,}",
            "documents": f"{source['documents']:,}",
            "held out": f"{source['validation']['documents']:,}",
        }
        for name, source in sources.items()
    }
    columns = [column for column in next(iter(cells.values())) if column != without]
    table = new_table(title, ("source", *columns))
    for name, row in cells.items():
        table.add_row(name, *(row[column] for column in columns))
    return table


def _stages(stages: Sequence[dict[str, Any]], names: Sequence[str]) -> Any:
    """The share of each source in each stage, and its windows."""
    table = new_table("stages of the training order", ("from window", *names))
    for stage in stages:
        sources = [stage["sources"][name] for name in names]
        table.add_row(f"{stage['start']:,}", *(f"{s['wanted']:.2%}, {s['windows']:,} windows" for s in sources))
    return table


def show_unread_files(summary: dict[str, Any], manifest: Manifest) -> None:
    """Print what to change when units are so large that the budget ended before every file of a source was drawn from.

    `summary` is what `validation.inspect.inspect` returns for the mix of `manifest`.
    """
    recipe = manifest["recipe"]
    if recipe["draw"]["order"] == "file":
        return  # as the recipe asks
    sources, units = [], []
    for name, source in summary["sources"].items():
        read, total = source["files_read"], source["files_total"]
        can_be_split = not all(compression_of(file["name"]) for file in manifest["sources"][name]["files"])
        unit = source["tokens"] * BYTES_PER_TOKEN / total / UNITS_PER_FILE
        if read < total and can_be_split and unit < recipe["unit"]:
            sources.append(f"{name} ({read:,} of {total:,} files)")
            units.append(unit)
    if sources:
        echo(
            f"Not every file was drawn from: {', '.join(sources)}. The text is spread over each source, but units are "
            "too large for so few tokens. To draw from every file, build into a new folder with smaller units: "
            f'unit = "{_round_bytes(min(units))}" in the recipe (now {_round_bytes(recipe["unit"])}). A unit has at '
            "least one row group of a parquet file, or one line."
        )


def show_much_padding(summary: dict[str, Any]) -> None:
    """Name the sources whose packed windows have much padding, and say what to change.

    `summary` is what `validation.inspect.inspect` returns.
    """
    for name, source in summary["sources"].items():
        if source.get("padding", {}).get("share", 0) > MUCH_PADDING:
            echo(
                f"source {name}: {source['padding']['share']:.0%} of its tokens are padding: choose a smaller window "
                f'than {summary["window"]:,}, a larger unit (each is packed by itself), or [packing] mode = "stream"'
            )


def _round_bytes(n_bytes: float) -> str:
    """A number of bytes with one or two digits, rounded down, as recipes write it; at least 10kB."""
    n_bytes = max(n_bytes, 10_000)
    for size, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n_bytes >= size:
            number = int(n_bytes / size)
            return f"{number if number < 100 else number // 10 * 10}{name}"
    return f"{int(n_bytes)}"


def show_large_losses(sources: dict[str, tuple[int, dict[str, int]]]) -> None:
    """Name the sources that lose much of their text to one reason.

    sources: for each source the documents read, and those dropped by reason.
    """
    from gpts_data.mixer.stages.large_losses import describe_loss, large_losses

    for name, (read, dropped) in sources.items():
        for reason, share in large_losses(read, dropped):
            echo(f" {describe_loss(name, reason, share)}")


def show_checks(checks: Sequence[Check]) -> None:
    """Print what each check found, and for a failed one what was expected and what to do, in 80 columns."""
    import click

    for check in checks:
        mark = click.style("ok  ", fg="green") if check.ok else click.style("FAIL", fg="red", bold=True)
        found = check.found if check.ok else f"{check.found}; expected: {check.wanted}"
        click.echo(f"{mark}  ", nl=False)  # with codes for its colour, which `echo` would escape
        echo(_wrap(f"{check.name}: {found}"))
        if check.advice:
            echo(f"      {_wrap(f'next: {check.advice}')}")


def _wrap(text: str) -> str:
    """Wrap to lines that are indented by 6. Paths and commands stay whole, so that they can be pasted."""
    from textwrap import wrap

    return "\n      ".join(wrap(text, COLUMNS - 6, break_long_words=False, break_on_hyphens=False))


def _waterfall(all_falls: dict[str, Any], names: Sequence[str]) -> Any:
    """Documents of some sources by what became of them, with every reason that any source has."""
    falls = {name: all_falls[name] for name in names}
    table = new_table("documents", ("", *falls))
    table.add_row("read", *(f"{fall['read']:,}" for fall in falls.values()))
    reasons = dict.fromkeys(reason for fall in falls.values() for reason in fall["dropped"])
    for reason in sorted(reasons, key=lambda reason: -sum(fall["dropped"].get(reason, 0) for fall in falls.values())):
        table.add_row(f"- {reason}", *(f"{fall['dropped'].get(reason, 0):,}" for fall in falls.values()), style="dim")
    table.add_row("= kept", *(f"{fall['kept']:,}" for fall in falls.values()))
    unexplained = (fall["read"] - fall["kept"] - sum(fall["dropped"].values()) for fall in falls.values())
    table.add_row("unexplained", *(f"{count:,}" for count in unexplained))
    return table


def _overlap(overlap: dict[str, dict[str, int]], names: Sequence[str]) -> Any:
    """Counts of duplicates by their own source and by the source of the document they repeat, one of `names`."""
    table = new_table("duplicates, by the source of the document they repeat", ("", *names))
    for name, row in overlap.items():
        table.add_row(name, *(f"{row[other]:,}" for other in names))
    return table


def _show_decontamination(console: Console, facts: dict[str, Any], sources: tuple[str, ...]) -> None:
    """Print how many items of each benchmark were searched for and found in how many documents, then some of these."""
    from rich.text import Text

    table = new_table("contaminated documents", ("benchmark", "items", "searched", *sources))
    for name, benchmark in facts["benchmarks"].items():
        counts = (f"{benchmark['contaminated'][source]:,}" for source in sources)
        table.add_row(Text(name), f"{benchmark['items']:,}", f"{benchmark['searched']:,}", *counts)
    print_table(table)
    for document in facts["documents"]:
        match = f"{document['document']} in {document['unit']}: {document['benchmark']} {document['item']}"
        console.print(f" {match}: {' '.join(document['ngram'].split())}", highlight=False, markup=False)


def print_parts(table: Callable[[Sequence[str]], Any], names: Sequence[str]) -> None:
    """Print a table with one column for each of `names`, as several tables when one is wider than the terminal."""
    width, names = new_console().width, list(names)
    while names:
        count = next((n for n in range(len(names), 1, -1) if _width(table(names[:n])) <= width), 1)
        print_table(table(names[:count]))
        names = names[count:]


def _width(table: Any) -> int:
    """Columns of the terminal that a table needs without truncating any cell."""
    from rich.measure import Measurement

    console = new_console()
    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum


def print_table(table: Any) -> None:
    """Print a table without truncating any cell, even when it is wider than the terminal."""
    console = new_console()
    console.width = max(console.width, _width(table))
    console.print(table)


def new_table(title: str, columns: tuple[str, ...]) -> Any:
    """A table with left-aligned names and right-aligned numbers that fits 80 columns with three sources."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    return table

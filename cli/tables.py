"""Results of the commands as tables and lines on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from gpts_data.cli.terminal import echo, new_console
from gpts_data.pipelines.readers.kinds import compression_of

if TYPE_CHECKING:
    from rich.console import Console

    from gpts_data.mixer.format.manifest_types import Manifest
    from gpts_data.validation.doctor.check import Check

COLUMNS = 79  # width of wrapped text
BYTES_PER_TOKEN = 3.4  # of text, with a vocabulary of 4,096 entries
UNITS_PER_FILE = 3  # 2.2 units for each of several equal files are enough to draw from all of them (draw_order.py)


def show_mix(summary: dict[str, Any]) -> None:
    """Print target and actual shares of a mix, then how many documents were read, kept and dropped for each reason.

    `summary` is what `validation.inspect.inspect` returns.
    """
    mix = new_table(
        f"{summary['name']}: {summary['windows']:,} windows, {summary['tokens']:,} tokens",
        ("source", "target", "actual", "windows", "tokens", "documents", "held out"),
    )
    for name, source in summary["sources"].items():
        mix.add_row(
            name,
            f"{source['wanted']:.2%}",
            f"{source['share']:.3%}",
            f"{source['windows']:,}",
            f"{source['tokens']:,}",
            f"{source['documents']:,}",
            f"{source['validation']['documents']:,}",
        )
    console = new_console()
    print_table(mix)
    if len(summary["stages"]) > 1:
        print_table(_stages(summary["stages"]))
    for name, source in summary["sources"].items():
        if source["epochs"] > 1:
            repeats = ", ".join(f"{count:,} windows {times}x" for times, count in source["repeats"].items())
            console.print(f" {name}: repeated for {source['epochs']:.2f} epochs: {repeats}", highlight=False)
        if source["files_read"] < source["files_total"]:
            console.print(
                f" {name}: text from {source['files_read']:,} of {source['files_total']:,} files", highlight=False
            )
    print_table(_waterfall(summary["waterfall"]))
    if any("over_budget" in fall["dropped"] for fall in summary["waterfall"].values()):
        console.print(" over_budget: exceeds the token budget", highlight=False)
    show_large_losses({name: (fall["read"], fall["dropped"]) for name, fall in summary["waterfall"].items()})
    if any(count for row in summary["overlap"].values() for count in row.values()):
        print_table(_overlap(summary["overlap"]))
    if "decontamination" in summary:
        _show_decontamination(console, summary["decontamination"], tuple(summary["sources"]))
    console.print(f" root digest {summary['root_digest']}", highlight=False)


def _stages(stages: Sequence[dict[str, Any]]) -> Any:
    """The share of each source in each stage, and its windows."""
    table = new_table("stages of the training order", ("from window", *stages[0]["sources"]))
    for stage in stages:
        sources = stage["sources"].values()
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


def show_training(result: dict[str, Any]) -> None:
    """Print the loss before and after training, and the unigram entropy, which a model without context could reach."""
    table = new_table(
        f"GPT-S, {result['parameters']:,} parameters, {result['steps']} steps",
        ("", "loss before", "loss after", "unigram entropy", "tokens/s"),
    )
    table.add_row(
        "nats per token",
        f"{result['first_loss']:.3f}",
        f"{result['last_loss']:.3f}",
        f"{result['unigram_entropy']:.3f}",
        f"{result['tokens_per_second']:,.0f}",
    )
    console = new_console()
    print_table(table)
    for name, bits in result["validation_bits_per_byte"].items():
        text = "no validation window" if bits is None else f"{bits:.3f} bits per byte on held-out text"
        console.print(f" {name}: {text}", highlight=False)
    if result["compile_seconds"]:
        console.print(f" compilation: {result['compile_seconds']:.0f} s, not part of tokens/s", highlight=False)
    if result["skipped_steps"]:
        console.print(
            f" skipped: {result['skipped_steps']:,} steps whose gradient was not finite; log.jsonl marks them",
            highlight=False,
        )


def show_tokenizer(facts: dict[str, Any]) -> None:
    """Print bytes per token of a tokenizer and of those it is compared with, then how its entries are used.

    `facts` is what `tokenizer.fit_report.report` returns.
    """
    from gpts_data.tokenizer.fit_report import SIZES

    table = new_table(
        "bytes per token on held-out text; share of the embedding in the parameters",
        ("entries", *facts["bytes_per_token"], "weighted", "embedding"),
    )
    for name, row in {f"{facts['vocab_size']:,}, this": facts, **facts["beside"]}.items():
        rates = (f"{rate:.3f}" for rate in row["bytes_per_token"].values())
        table.add_row(name, *rates, f"{row['by_weight']:.3f}", f"{row['embedding_share']:.1%}")
    console = new_console()
    print_table(table)
    never_used, never_used_longer = facts["never_used"], facts["never_used_without_bytes"]
    lines = (
        f"measured on {sum(facts['held_out_bytes'].values()) / 1e6:.1f} MB of text",
        f"{SIZES[0]:,} to {SIZES[-1]:,} entries: trained on other text of the same sources",
        f"never used: {never_used:.1%} of entries, {never_used_longer:.1%} of those longer than a byte",
        f"single bytes: {facts['single_bytes']:.1%} of the tokens",
        "longest entries: " + "  ".join(map(_display_token, facts["longest"])),
    )
    for line in lines:
        console.print(f" {line}", highlight=False, markup=False)


def show_scores(name: str, result: dict[str, Any]) -> None:
    """Print the accuracy of a model, of published models and of random guessing, in percent.

    `result` holds the fields of `validation.evaluate.Evaluation`.
    """
    from gpts_data.validation.published_scores import BOARD, BOARD_TASKS, CARD, CARD_TASKS, CHANCE, int_index

    chance = (*(CHANCE[task] for task in CARD_TASKS), sum(CHANCE[task] for task in CARD_TASKS) / len(CARD_TASKS))
    _show_benchmarks("model card of GPT-S-5M", CARD_TASKS, "average", name, result, {**CARD, "chance": chance})
    tasks = (*BOARD_TASKS, "arithmark_2")
    board = {model: (*scores, None, index) for model, (*scores, index) in BOARD.items()}
    board["chance"] = (*(CHANCE[task] for task in tasks), int_index(CHANCE))
    _show_benchmarks("Open SLM Leaderboard", tasks, "int_index", name, result, board)


def _show_benchmarks(
    title: str,
    tasks: Sequence[str],
    summary: str,
    name: str,
    result: dict[str, Any],
    published: dict[str, tuple[float | None, ...]],
) -> None:
    """Print a table of some benchmarks; none when the model was not scored on any. `summary` is a key of `result`."""
    scores = {task: result["scores"].get(task, {}) for task in tasks}
    if not any(scores.values()):
        return
    table = new_table(f"{title}: zero-shot accuracy, percent", ("", *tasks, summary))

    def add(label: str, values: Iterable[float | None], pattern: str = "{:.2f}") -> None:
        table.add_row(label, *("" if value is None else pattern.format(value) for value in values))

    add(name, (*(score.get("score") for score in scores.values()), result[summary]))
    add("standard error", (*(score.get("stderr") for score in scores.values()), None))
    add("questions", (*(score.get("questions") for score in scores.values()), None), "{:,}")
    add("shortest option", (*(score.get("shortest_option") for score in scores.values()), None))
    for model, row in published.items():
        add(model, row)
    print_table(table)


def _display_token(token: str) -> str:
    """A token with visible spaces and escaped control characters; of a long one, the beginning and the length."""
    text = repr(token)[1:-1].replace(" ", "\N{OPEN BOX}")
    return text if len(text) <= 24 else f"{text[:16]}... ({len(token)} characters)"


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


def _waterfall(falls: dict[str, Any]) -> Any:
    table = new_table("documents", ("", *falls))
    table.add_row("read", *(f"{fall['read']:,}" for fall in falls.values()))
    reasons = dict.fromkeys(reason for fall in falls.values() for reason in fall["dropped"])
    for reason in sorted(reasons, key=lambda reason: -sum(fall["dropped"].get(reason, 0) for fall in falls.values())):
        table.add_row(f"- {reason}", *(f"{fall['dropped'].get(reason, 0):,}" for fall in falls.values()), style="dim")
    table.add_row("= kept", *(f"{fall['kept']:,}" for fall in falls.values()))
    unexplained = (fall["read"] - fall["kept"] - sum(fall["dropped"].values()) for fall in falls.values())
    table.add_row("unexplained", *(f"{count:,}" for count in unexplained))
    return table


def _overlap(overlap: dict[str, dict[str, int]]) -> Any:
    """Counts of duplicates by their own source and by the source of the document they repeat."""
    table = new_table("duplicates, by the source of the document they repeat", ("", *overlap))
    for name, row in overlap.items():
        table.add_row(name, *(f"{count:,}" for count in row.values()))
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


def print_table(table: Any) -> None:
    """Print a table without truncating any cell, even when it is wider than the terminal."""
    from rich.measure import Measurement

    console = new_console()
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    console.width = max(console.width, needed)
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

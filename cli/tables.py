"""What people see of a mix: tables on stdout; and of a machine: a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from gpts_data.validation.doctor.check import Check

COLUMNS = 79


def show_mix(facts: dict[str, Any]) -> None:
    """The mix wanted and got, then the waterfall: every document read, kept or dropped for one reason."""
    from rich.console import Console

    mix = new_table(
        f"{facts['name']}: {facts['windows']:,} windows, {facts['tokens']:,} tokens",
        ("source", "wanted", "got", "windows", "tokens", "documents", "held out"),
    )
    for name, source in facts["sources"].items():
        mix.add_row(
            name,
            f"{source['wanted']:.2%}",
            f"{source['share']:.3%}",
            f"{source['windows']:,}",
            f"{source['tokens']:,}",
            f"{source['documents']:,}",
            f"{source['validation']['documents']:,}",
        )
    console = Console()
    print_table(mix)
    for name, source in facts["sources"].items():
        if source["epochs"] > 1:
            console.print(f" {name}: repeated, {source['epochs']:.2f} passes over all it has", highlight=False)
    print_table(_waterfall(facts["waterfall"]))
    if any(n for row in facts["overlap"].values() for n in row.values()):
        print_table(_overlap(facts["overlap"]))
    if "decontamination" in facts:
        _show_decontamination(console, facts["decontamination"], tuple(facts["sources"]))
    console.print(f" root digest {facts['root_digest']}", highlight=False)


def show_training(result: dict[str, Any]) -> None:
    """Loss before and after, beside the entropy that a model without context could reach."""
    from rich.console import Console

    table = new_table(
        f"GPT-S, {result['parameters']:,} parameters, {result['steps']} steps",
        ("", "loss before", "loss after", "unigram entropy", "tokens/s"),
    )
    table.add_row(
        "nats a token",
        f"{result['first_loss']:.3f}",
        f"{result['last_loss']:.3f}",
        f"{result['unigram_entropy']:.3f}",
        f"{result['tokens_per_second']:,.0f}",
    )
    console = Console()
    print_table(table)
    for name, bits in result["validation_bits_per_byte"].items():
        text = "no held-out window" if bits is None else f"{bits:.3f} bits per byte on held-out text"
        console.print(f" {name}: {text}", highlight=False)


def show_tokenizer(facts: dict[str, Any]) -> None:
    """Bytes per token of the tokenizer and of those beside it, then what its entries are worth."""
    from rich.console import Console

    table = new_table(
        "bytes per token on text held out; the embedding's share of the parameters",
        ("entries", *facts["bytes_per_token"], "weighted", "share"),
    )
    for name, row in {f"{facts['vocab_size']:,}, this": facts, **facts["beside"]}.items():
        rates = (f"{rate:.3f}" for rate in row["bytes_per_token"].values())
        table.add_row(name, *rates, f"{row['by_weight']:.3f}", f"{row['embedding_share']:.1%}")
    console = Console()
    print_table(table)
    held = sum(facts["held_out_bytes"].values())
    lines = (
        f"on {held / 1e6:.1f} MB; the vocabularies below the first were trained on none of it",
        f"never used: {facts['never_used']:.1%} of entries, {facts['never_used_without_bytes']:.1%} of the longer ones",
        f"single bytes: {facts['single_bytes']:.1%} of the tokens",
        "longest: " + "  ".join(map(_display_token, facts["longest"])),
    )
    for line in lines:
        console.print(f" {line}", highlight=False, markup=False)


def show_scores(name: str, found: dict[str, Any]) -> None:
    """Percent right, of this model and of the published ones; chance below."""
    from gpts_data.validation.published_scores import CHANCE, PUBLISHED, TASKS

    scores = found["scores"]
    table = new_table("zero-shot, percent right", ("", *TASKS, "average"))
    own = [f"{scores[task]['score']:.2f}" if task in scores else "" for task in TASKS]
    table.add_row(name, *own, "" if found["average"] is None else f"{found['average']:.2f}")
    errors = [scores[task]["stderr"] if task in scores else None for task in TASKS]
    table.add_row("+/-", *("" if error is None else f"{error:.2f}" for error in errors), "")
    table.add_row("questions", *(f"{scores[task]['questions']:,}" if task in scores else "" for task in TASKS), "")
    for model, row in PUBLISHED.items():
        table.add_row(model, *(f"{score:.2f}" for score in row))
    table.add_row("chance", *(f"{score:.2f}" for score in CHANCE), f"{sum(CHANCE) / len(CHANCE):.2f}")
    print_table(table)


def _display_token(token: str) -> str:
    """A token on a line of its own making: spaces visible, and no more of it than its beginning."""
    text = repr(token)[1:-1].replace(" ", "\N{OPEN BOX}")
    return text if len(text) <= 24 else f"{text[:16]}... ({len(token)} characters)"


def show_checks(checks: Sequence[Check]) -> None:
    """A line a check, in 80 columns: what was found; for a failed one what was wanted, and what to do."""
    import click

    for check in checks:
        mark = click.style("ok  ", fg="green") if check.ok else click.style("FAIL", fg="red", bold=True)
        found = check.found if check.ok else f"{check.found}; wanted: {check.wanted}"
        click.echo(f"{mark}  {_wrap(f'{check.name}: {found}')}")
        if check.advice:
            click.echo(f"      {_wrap(f'next: {check.advice}')}")


def _wrap(text: str) -> str:
    """In lines under each other from column 6. Paths and commands stay whole: a broken one cannot be pasted."""
    from textwrap import wrap

    return "\n      ".join(wrap(text, COLUMNS - 6, break_long_words=False, break_on_hyphens=False))


def _waterfall(falls: dict[str, Any]) -> Any:
    table = new_table("documents", ("", *falls))
    table.add_row("read", *(f"{fall['read']:,}" for fall in falls.values()))
    reasons = dict.fromkeys(reason for fall in falls.values() for reason in fall["dropped"])
    for reason in sorted(reasons, key=lambda r: -sum(fall["dropped"].get(r, 0) for fall in falls.values())):
        table.add_row(f"- {reason}", *(f"{fall['dropped'].get(reason, 0):,}" for fall in falls.values()), style="dim")
    table.add_row("= kept", *(f"{fall['kept']:,}" for fall in falls.values()))
    lost = (fall["read"] - fall["kept"] - sum(fall["dropped"].values()) for fall in falls.values())
    table.add_row("unexplained", *(f"{n:,}" for n in lost))
    return table


def _overlap(overlap: dict[str, dict[str, int]]) -> Any:
    """Duplicates by the source that has the document they repeat."""
    table = new_table("duplicates: of documents in the row's source, already in", ("", *overlap))
    for name, row in overlap.items():
        table.add_row(name, *(f"{n:,}" for n in row.values()))
    return table


def _show_decontamination(console: Console, facts: dict[str, Any], sources: tuple[str, ...]) -> None:
    """Per benchmark what was looked for, and the documents that hold it; then the first of them."""
    from rich.text import Text

    table = new_table("contaminated documents", ("benchmark", "items", "searched", *sources))
    for name, benchmark in facts["benchmarks"].items():
        found = (f"{benchmark['contaminated'][source]:,}" for source in sources)
        table.add_row(Text(name), f"{benchmark['items']:,}", f"{benchmark['searched']:,}", *found)
    print_table(table)
    for document in facts["documents"]:
        where = f"{document['document']} in {document['unit']}: {document['benchmark']} {document['item']}"
        console.print(f" {where}: {' '.join(document['ngram'].split())}", highlight=False, markup=False)


def print_table(table: Any) -> None:
    """Whole, whatever the width of the terminal or file: a number is never cut."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    needed = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
    console.width = max(console.width, needed)
    console.print(table)


def new_table(title: str, columns: tuple[str, ...]) -> Any:
    """A table that fits 80 columns with three sources: names on the left, figures on the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", no_wrap=True)
    return table

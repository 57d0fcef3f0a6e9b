"""What people see of a mix: tables on stdout."""

from __future__ import annotations

from typing import Any


def show_mix(facts: dict[str, Any]) -> None:
    """The mix wanted and got, then the waterfall: every document read, kept or dropped for one reason."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(
        title=f"{facts['name']}: {facts['windows']:,} windows, {facts['tokens']:,} tokens", title_justify="left"
    )
    for column in ("source", "wanted", "got", "windows", "tokens", "documents", "held out"):
        table.add_column(column, justify="left" if column == "source" else "right")
    for name, source in facts["sources"].items():
        table.add_row(
            name, f"{source['wanted']:.2%}", f"{source['share']:.4%}", f"{source['windows']:,}",
            f"{source['tokens']:,}", f"{source['documents']:,}", f"{source['validation']['documents']:,}",
        )  # fmt: skip
    console.print(table)
    console.print(_waterfall(facts["waterfall"]))
    console.print(f"root digest {facts['root_digest']}", highlight=False)


def _waterfall(falls: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table(title="documents", title_justify="left")
    table.add_column("")
    for name in falls:
        table.add_column(name, justify="right")
    table.add_row("read", *(f"{fall['read']:,}" for fall in falls.values()))
    reasons = dict.fromkeys(reason for fall in falls.values() for reason in fall["dropped"])
    for reason in sorted(reasons, key=lambda r: -sum(fall["dropped"].get(r, 0) for fall in falls.values())):
        table.add_row(f"- {reason}", *(f"{fall['dropped'].get(reason, 0):,}" for fall in falls.values()), style="dim")
    table.add_row("= kept", *(f"{fall['kept']:,}" for fall in falls.values()))
    lost = (fall["read"] - fall["kept"] - sum(fall["dropped"].values()) for fall in falls.values())
    table.add_row("unexplained", *(f"{n:,}" for n in lost))
    return table


def show_training(result: dict[str, Any]) -> None:
    """Loss before and after, beside the entropy that a model without context could reach."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"GPT-S, {result['parameters']:,} parameters, {result['steps']} steps", title_justify="left")
    for column in ("loss before", "loss after", "unigram entropy", "tokens/s"):
        table.add_column(column, justify="right")
    table.add_row(
        f"{result['first_loss']:.3f}", f"{result['last_loss']:.3f}", f"{result['unigram_entropy']:.3f}",
        f"{result['tokens_per_second']:,.0f}",
    )  # fmt: skip
    console = Console()
    console.print(table)
    for name, bits in result["validation_bits_per_byte"].items():
        text = "no held-out window" if bits is None else f"{bits:.3f} bits per byte on held-out text"
        console.print(f"  {name}: {text}", highlight=False)

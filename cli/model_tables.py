"""Results of training, of scoring and of a tokenizer report as tables on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gpts_data.cli.tables import new_table, print_table
from gpts_data.cli.terminal import new_console


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

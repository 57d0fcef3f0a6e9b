"""A bar chart of a tokenizer report: a group of bars per source, with a bar per vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpts_data.pipelines.figures import figure_bytes

THIS_COLOUR, OTHER_COLOURS = "#1b6ca8", ("#dbe7f1", "#bcd3e6", "#9cc0db", "#7dacd0", "#d9d9d9", "#c4c4c4", "#afafaf")
KINDS = ("svg", "png", "pdf")  # suffixes of the file; matplotlib knows more, which few people use


def draw_report(facts: dict[str, Any], kind: str) -> bytes:
    """Draw bytes per token as bars, with the reported tokenizer on top of each group.

    `facts` is what `tokenizer.fit_report.report` returns, `kind` one of KINDS. Equal facts give equal SVG bytes.
    """
    from matplotlib.figure import Figure

    rows = {f"this: {facts['vocab_size']:,}": facts, **facts["beside"]}
    groups = [*facts["bytes_per_token"], "by weight"]
    figure = Figure(figsize=(8, 1 + 0.24 * len(groups) * (len(rows) + 1)), layout="constrained")
    axes = figure.subplots()
    height = 1 / (len(rows) + 1)
    for i, (name, row) in enumerate(rows.items()):
        colour = OTHER_COLOURS[(i - 1) % len(OTHER_COLOURS)] if i else THIS_COLOUR
        rates = [*row["bytes_per_token"].values(), row["by_weight"]]
        bars = axes.barh(np.arange(len(groups)) + i * height, rates, 0.9 * height, label=name, color=colour)
        axes.bar_label(bars, fmt="%.3f", padding=3, fontsize=8)
    axes.set_yticks(np.arange(len(groups)) + (len(rows) - 1) * height / 2, groups)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("bytes per token on held-out text")
    figure.legend(title="entries", loc="outside right upper", frameon=False, fontsize=8)
    return figure_bytes(lambda: figure, kind)

"""The report's plots, as SVG that takes its text colour from the page: good on a light and on a dark one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.figures import figure_bytes
from gpts_data.validation.training.log import Line

COLOURS = (
    "#3b8ec9",
    "#e08a3c",
    "#5fae71",
    "#ad74c2",
    "#c9a227",
    "#d0607a",
    "#7f8c9a",
    "#2f9c95",
    "#8a6d3b",
    "#6f7fd8",
    "#b8b13f",
    "#c77f9e",
)
NAME = 18  # characters of a source's name in a legend
SIZE = (5.4, 2.2)  # inches: its letters are 7 px on a phone and 14 px where there is room
_INK = "#010203"  # replaced by the page's own colour


def colour(source: int) -> str:
    """Of a source, by its place in the recipe."""
    return COLOURS[source % len(COLOURS)]


def shares(
    positions: NDArray[np.int64], counts: NDArray[np.int64], wanted: Sequence[float], names: Sequence[str]
) -> str:
    """How many windows each source is ahead of its share, at these prefixes. counts: int64 (prefixes, sources)."""

    def draw(axes: Any) -> None:
        for i, name in enumerate(names):
            axes.plot(positions, counts[:, i] - wanted[i] * positions, color=colour(i), label=_short(name), linewidth=1)
        axes.set_ylim(-1.05, 1.05)
        axes.set_xlabel("windows of the training order")
        axes.set_ylabel("windows ahead")

    return _svg(draw)


def lengths(tokens: Sequence[NDArray[np.integer]], names: Sequence[str]) -> str:
    """The lengths of documents, tokens, as a share of each source's documents."""

    def draw(axes: Any) -> None:
        ends = [(int(found.min()), int(found.max())) for found in tokens if len(found)] or [(1, 1)]
        edges = np.geomspace(max(min(least for least, _ in ends), 1), max(most for _, most in ends) + 1, 50)
        for i, found in enumerate(tokens):
            if len(found):
                counts, _ = np.histogram(found, edges)
                axes.stairs(counts / len(found), edges, color=colour(i), label=_short(names[i]), linewidth=1.5)
        axes.set_xscale("log")
        axes.set_xlabel("tokens of a document")
        axes.set_ylabel("share")

    return _svg(draw)


def losses(lines: Sequence[Line], entropy: float) -> str:
    """The loss of a run over tokens, thinned to 500 points, beside the unigram entropy."""

    def draw(axes: Any) -> None:
        chosen = lines[:: max(len(lines) // 500, 1)]
        axes.plot([line.tokens for line in chosen], [line.loss for line in chosen], color=COLOURS[0], label="training")
        axes.axhline(entropy, color="#8c8c8c", linestyle="--", label="unigram entropy")
        axes.set_xlabel("tokens")
        axes.set_ylabel("nats a token")

    return _svg(draw)


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _svg(draw: Callable[[Any], None]) -> str:
    """The same text for the same figures: no date, no random names."""
    from matplotlib.figure import Figure

    def figure() -> Figure:
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7.5, loc="lower right", bbox_to_anchor=(1, 1), ncols=4)
        return figure

    inked = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    style = {"font.size": 8, **dict.fromkeys(inked, _INK)}
    text = figure_bytes(figure, style=style, transparent=True).decode()
    return text[text.index("<svg") :].replace(_INK, "currentColor")

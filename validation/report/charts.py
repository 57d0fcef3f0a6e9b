"""The report's charts, as SVG that takes its text colour from the page, so that they suit light and dark schemes."""

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
MAX_NAME = 18  # characters of a source's name in a legend
MAX_POINTS = 500  # of a loss curve
SHARE_PARTS = 40  # of the training order, for which shares are drawn: a part of the sample has 49 windows
SIZE = (5.4, 2.2)  # inches: letters are 7 px high on a phone and 14 px on a wide screen
_INK = "#010203"  # a colour that no chart uses otherwise; replaced by the page's text colour


def colour(source: int) -> str:
    """Return the colour of a source, given its position in the recipe."""
    return COLOURS[source % len(COLOURS)]


def draw_ahead(
    positions: NDArray[np.int64],
    counts: NDArray[np.int64],
    targets: NDArray[np.float64],
    names: Sequence[str],
    boundaries: Sequence[int] = (),
) -> str:
    """Draw by how many windows each source is ahead of its target share.

    Args:
        positions: positions in the training order, shape (positions,).
        counts: windows of each source before each position, shape (positions, sources).
        targets: windows that the weights ask for before each position, shape (positions, sources).
        boundaries: positions at which another stage begins; drawn as vertical lines.
    """

    def draw(axes: Any) -> None:
        for i, name in enumerate(names):
            ahead = counts[:, i] - targets[:, i]
            axes.plot(positions, ahead, color=colour(i), label=_short(name), linewidth=1)
        _draw_boundaries(axes, boundaries)
        axes.set_ylim(-1.05, 1.05)
        axes.set_xlabel("windows of the training order")
        axes.set_ylabel("windows ahead")

    return _svg(draw)


def draw_shares(
    positions: NDArray[np.int64], counts: NDArray[np.int64], names: Sequence[str], boundaries: Sequence[int]
) -> str:
    """Draw the shares of the sources in parts of the training order. The arguments are as for `draw_ahead`."""
    edges, shares = shares_of_parts(positions, counts, boundaries)

    def draw(axes: Any) -> None:
        below = np.zeros(len(shares))
        for i, name in enumerate(names):
            axes.stairs(below + shares[:, i], edges, baseline=below, fill=True, color=colour(i), label=_short(name))
            below = below + shares[:, i]
        _draw_boundaries(axes, boundaries)
        axes.set_ylim(0, 1.15)  # room for the legend
        axes.set_xlabel("windows of the training order")
        axes.set_ylabel("share of windows")

    return _svg(draw)


def shares_of_parts(
    positions: NDArray[np.int64], counts: NDArray[np.int64], boundaries: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The edges of about SHARE_PARTS parts of the training order, shape (parts + 1,), and the share of each source in
    each part, shape (parts, sources). Parts end at boundaries, since one across would have a share of no stage."""
    ends = np.linspace(0, positions[-1], SHARE_PARTS + 1)[1:].astype(np.int64)
    rows = np.unique(np.searchsorted(positions, [*ends, *boundaries]))
    edges = np.concatenate([[0], positions[rows]])
    windows = np.diff(np.concatenate([np.zeros((1, counts.shape[1]), np.int64), counts[rows]]), axis=0)
    return edges, windows / np.diff(edges)[:, None]


def draw_lengths(lengths: Sequence[NDArray[np.integer]], names: Sequence[str]) -> str:
    """Draw the distribution of document lengths, in tokens, as shares of each source's documents."""

    def draw(axes: Any) -> None:
        ranges = [(int(tokens.min()), int(tokens.max())) for tokens in lengths if len(tokens)] or [(1, 1)]
        shortest, longest = max(min(low for low, _ in ranges), 1), max(high for _, high in ranges)
        edges = np.geomspace(shortest, longest + 1, 50)
        for i, tokens in enumerate(lengths):
            if len(tokens):
                counts, _ = np.histogram(tokens, edges)
                axes.stairs(counts / len(tokens), edges, color=colour(i), label=_short(names[i]), linewidth=1.5)
        axes.set_xscale("log")
        axes.set_xlabel("tokens per document")
        axes.set_ylabel("share of documents")

    return _svg(draw)


def draw_losses(lines: Sequence[Line], entropy: float) -> str:
    """Draw the loss of a run over its tokens beside the unigram entropy; both in nats per token."""

    def draw(axes: Any) -> None:
        chosen = lines[:: max(len(lines) // MAX_POINTS, 1)]
        axes.plot([line.tokens for line in chosen], [line.loss for line in chosen], color=COLOURS[0], label="training")
        axes.axhline(entropy, color="#8c8c8c", linestyle="--", label="unigram entropy")
        axes.set_xlabel("tokens")
        axes.set_ylabel("loss, nats per token")

    return _svg(draw)


def _draw_boundaries(axes: Any, boundaries: Sequence[int]) -> None:
    for boundary in boundaries:
        axes.axvline(boundary, color="#8c8c8c", linestyle=":", linewidth=1)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _svg(draw: Callable[[Any], None]) -> str:
    """Return the chart that `draw` makes on a pair of axes. The same values give the same text."""
    from matplotlib.figure import Figure

    def make_figure() -> Figure:
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7.5, loc="lower right", bbox_to_anchor=(1, 1), ncols=4)
        return figure

    text_colours = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    style = {"font.size": 8, **dict.fromkeys(text_colours, _INK)}
    svg = figure_bytes(make_figure, style=style, transparent=True).decode()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")  # without the XML declaration

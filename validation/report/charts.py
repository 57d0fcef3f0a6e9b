"""The report's charts as paths and tick labels, which the template draws.

A path is stretched to the width of the page; labels are text of the page. So lines and letters keep their size on a
phone and on paper, and take their colours from the page. Coordinates are 0 to SIDE, from the left and from the bottom.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
SIDE = 1000  # of the square in which paths are drawn
MAX_POINTS = 500  # of a loss curve
SHARE_PARTS = 40  # of the training order, for which shares are drawn: a part of the sample has 49 windows
LENGTH_BINS = 50
TICKS = 5  # about as many on an axis


@dataclass(frozen=True)
class Path:
    """One shape of a chart: `kind` is `line`, `fill` or `mark` (dashed), `points` are the data of an SVG path."""

    kind: str
    colour: str
    points: str


@dataclass(frozen=True)
class Plot:
    """A chart. Ticks are positions on an axis, 0 to 1, with their labels."""

    caption: str
    paths: list[Path]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    x_unit: str = ""


def colour(source: int) -> str:
    """Return the colour of a source, given its position in the recipe."""
    return COLOURS[source % len(COLOURS)]


def plot_bounds(
    edges: NDArray[np.int64], low: NDArray[np.float64], high: NDArray[np.float64], boundaries: Sequence[int] = ()
) -> list[Plot]:
    """For each source the range of its distance from the target share, in windows, between bounds of one window.

    Args:
        edges: ends of parts of the training order, shape (parts + 1,).
        low, high: the least and the greatest distance in each part, shape (parts, sources).
        boundaries: positions at which another stage begins; drawn as vertical lines.
    """
    x = _scaled(edges, 0, edges[-1])
    marks = [*_boundaries(boundaries, edges[-1]), *(Path("mark", "", _line([0, 1], [y, y])) for y in (0, 0.5, 1))]
    plots = []
    for i in range(low.shape[1]):
        band = _band(x, _scaled(low[:, i], -1, 1), _scaled(high[:, i], -1, 1))
        ticks = [(0.0, "\N{MINUS SIGN}1"), (0.5, "0"), (1.0, "+1")]
        plots.append(Plot("", [Path("fill", colour(i), band), *marks], _linear_ticks(0, edges[-1]), ticks, "windows"))
    return plots


def plot_shares(positions: NDArray[np.int64], counts: NDArray[np.int64], boundaries: Sequence[int]) -> Plot:
    """The shares of the sources in parts of the training order, one above the other.

    Args:
        positions: positions in the training order, shape (positions,).
        counts: windows of each source before each position, shape (positions, sources).
        boundaries: positions at which another stage begins; drawn as vertical lines.
    """
    edges, shares = shares_of_parts(positions, counts, boundaries)
    x, below, paths = _scaled(edges, 0, edges[-1]), np.zeros(len(shares)), []
    for i in range(shares.shape[1]):
        paths.append(Path("fill", colour(i), _band(x, below, below + shares[:, i])))
        below = below + shares[:, i]
    y_ticks = [(share, f"{share:.0%}") for share in (0, 0.25, 0.5, 0.75, 1)]
    paths += _boundaries(boundaries, edges[-1])
    return Plot("Share of the windows", paths, _linear_ticks(0, edges[-1]), y_ticks, "windows of the training order")


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


def plot_lengths(lengths: Sequence[NDArray[np.integer]]) -> Plot:
    """The distribution of document lengths, in tokens, as shares of each source's documents. The x axis is a log."""
    ranges = [(int(tokens.min()), int(tokens.max())) for tokens in lengths if len(tokens)] or [(1, 1)]
    shortest, longest = max(min(low for low, _ in ranges), 1), max(high for _, high in ranges) + 1
    edges = np.geomspace(shortest, longest, LENGTH_BINS)
    shares = {i: np.histogram(tokens, edges)[0] / len(tokens) for i, tokens in enumerate(lengths) if len(tokens)}
    top = max((share.max() for share in shares.values()), default=0.0) or 1.0
    x = _scaled(np.log(edges), np.log(shortest), np.log(longest))
    paths = [Path("line", colour(i), _stairs(x, _scaled(share, 0, top))) for i, share in shares.items()]
    powers = [10**n for n in range(10) if shortest <= 10**n <= longest]
    x_ticks = [(float(_scaled(np.log(n), np.log(shortest), np.log(longest))), f"{n:,}") for n in powers]
    y_ticks = [(place, f"{float(value.replace(',', '')):.3g}%") for place, value in _linear_ticks(0, 100 * top)]
    return Plot("Share of the documents", paths, x_ticks, y_ticks, "tokens per document")


def plot_losses(lines: Sequence[Line], entropy: float) -> Plot:
    """The loss of a run over its tokens, and the unigram entropy as a dashed line; both in nats per token."""
    chosen = lines[:: max(len(lines) // MAX_POINTS, 1)]
    tokens, losses = [line.tokens for line in chosen], [line.loss for line in chosen]
    low, high = min([*losses, entropy]), max([*losses, entropy])
    x, y = _scaled(tokens, 0, tokens[-1]), _scaled(losses, low, high)
    level = float(_scaled(entropy, low, high))
    paths = [Path("mark", "", _line([0, 1], [level, level])), Path("line", colour(0), _line(x, y))]
    caption = "Loss in nats per token; the dashed line is the unigram entropy"
    return Plot(caption, paths, _linear_ticks(0, tokens[-1]), _linear_ticks(low, high), "tokens")


def _boundaries(boundaries: Sequence[int], total: int) -> list[Path]:
    return [Path("mark", "", _line([boundary / total] * 2, [0, 1])) for boundary in boundaries]


def _scaled(values: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    """The values with `low` at 0 and `high` at 1."""
    scaled: NDArray[np.float64] = (np.asarray(values, np.float64) - low) / ((high - low) or 1)
    return scaled


def _points(x: Iterable[float], y: Iterable[float]) -> str:
    return " ".join(f"{SIDE * a:.1f},{SIDE * (1 - b):.1f}" for a, b in zip(x, y, strict=True))


def _line(x: Iterable[float], y: Iterable[float]) -> str:
    return f"M{_points(x, y)}"


def _stairs(edges: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    return _line(np.repeat(edges, 2)[1:-1], np.repeat(y, 2))


def _band(edges: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> str:
    """The area between two step functions of the same parts."""
    x = np.repeat(edges, 2)[1:-1]
    return f"{_line([*x, *x[::-1]], [*np.repeat(high, 2), *np.repeat(low, 2)[::-1]])}Z"


def _linear_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers in a range: multiples of 1, 2 or 5 times a power of ten."""
    step = (high - low) / TICKS or 1.0
    power = 10.0 ** np.floor(np.log10(step))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)
    digits = max(-int(np.floor(np.log10(step))), 0)
    ticks = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step
    return [(float(_scaled(tick, low, high)), f"{tick:,.{digits}f}") for tick in (ticks + 0.0).tolist()]  # no -0

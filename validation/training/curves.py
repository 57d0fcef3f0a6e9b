"""Draws the curves of a run over its tokens: loss, bits per byte on held-out documents, and learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.figures import figure_bytes
from gpts_data.validation.training.log import Line

MAX_POINTS = 1000  # per curve; with all 95,000 steps of the published run the SVG would have megabytes
COLOURS = ("#1b6ca8", "#d1762b", "#4a9c5d", "#9a5fb0", "#8c8c8c")


def draw_curves(lines: Sequence[Line], entropy: float, boundaries: Sequence[float] = ()) -> bytes:
    """Return the curves as SVG; the same losses give the same bytes.

    entropy: the unigram entropy, nats per token.
    boundaries: numbers of tokens at which a stage of the training order begins; drawn as vertical lines.
    """
    from matplotlib.figure import Figure

    tokens = np.array([line.tokens for line in lines], dtype=np.float64)
    figure = Figure(figsize=(8, 7), layout="constrained")
    loss, bits, rate = figure.subplots(3, sharex=True, height_ratios=(3, 2, 1))
    loss.plot(_thin(tokens), _thin(np.array([line.loss for line in lines])), color=COLOURS[0], label="training")
    loss.axhline(entropy, color="#8c8c8c", linestyle="--", label="unigram entropy")
    loss.set_ylabel("loss, nats per token")
    _draw_validation(bits, lines)
    rate.plot(_thin(tokens), _thin(np.array([line.lr for line in lines])), color=COLOURS[0])
    rate.set_ylabel("learning rate")
    rate.set_xlabel("tokens")
    for axes in (loss, bits, rate):
        for number, boundary in enumerate(boundaries):
            label = "another stage of the mix" if axes is loss and number == 0 else None
            axes.axvline(boundary, color="#8c8c8c", linestyle=":", linewidth=1, label=label)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure_bytes(lambda: figure)


def _draw_validation(axes: Any, lines: Sequence[Line]) -> None:
    """Draw the bits per byte of each source that has held-out documents."""
    results = [(line.tokens, line.validation_bits_per_byte) for line in lines if line.validation_bits_per_byte]
    for i, name in enumerate(results[-1][1] if results else {}):
        points = [(tokens, bits[name]) for tokens, bits in results if bits[name] is not None]
        if points:
            colour = COLOURS[i % len(COLOURS)]
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, color=colour, label=name)
    axes.set_ylabel("bits per byte, held out")


def _thin(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the means of at most MAX_POINTS runs of consecutive values; the last run may be shorter."""
    starts = np.arange(0, len(values), -(-len(values) // MAX_POINTS))
    means: NDArray[np.float64] = np.add.reduceat(values, starts) / np.diff([*starts, len(values)])
    return means

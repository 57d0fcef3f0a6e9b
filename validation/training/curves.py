"""A run as a picture: loss, bits per byte of held-out text, and the learning rate, over the tokens trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.figures import figure_bytes
from gpts_data.validation.training.log import Line

POINTS = 1000  # of a curve; 95,000 steps would be an SVG of megabytes
COLOURS = ("#1b6ca8", "#d1762b", "#4a9c5d", "#9a5fb0", "#8c8c8c")


def draw_curves(lines: Sequence[Line], entropy: float) -> bytes:
    """SVG; the same bytes for the same losses. `entropy`: the unigram entropy, in nats a token."""
    from matplotlib.figure import Figure

    tokens = np.array([line.tokens for line in lines], dtype=np.float64)
    validated = [line for line in lines if line.validation_bits_per_byte]
    figure = Figure(figsize=(8, 7), layout="constrained")
    loss, bits, rate = figure.subplots(3, sharex=True, height_ratios=(3, 2, 1))
    loss.plot(_thin(tokens), _thin(np.array([line.loss for line in lines])), color=COLOURS[0], label="training")
    loss.axhline(entropy, color="#8c8c8c", linestyle="--", label="unigram entropy")
    loss.set_ylabel("loss, nats a token")
    for i, name in enumerate(validated[-1].validation_bits_per_byte or {} if validated else {}):
        points = [(line.tokens, (line.validation_bits_per_byte or {})[name]) for line in validated]
        known = [(x, y) for x, y in points if y is not None]
        if known:
            bits.plot(*zip(*known, strict=True), marker="o", markersize=3, color=COLOURS[i % len(COLOURS)], label=name)
    bits.set_ylabel("bits per byte, held out")
    rate.plot(_thin(tokens), _thin(np.array([line.lr for line in lines])), color=COLOURS[0])
    rate.set_ylabel("learning rate")
    rate.set_xlabel("tokens")
    for axes in (loss, bits, rate):
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    return figure_bytes(lambda: figure)


def _thin(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most POINTS means of runs of equal length, the last one perhaps shorter."""
    starts = np.arange(0, len(values), -(-len(values) // POINTS))
    means: NDArray[np.float64] = np.add.reduceat(values, starts) / np.diff([*starts, len(values)])
    return means

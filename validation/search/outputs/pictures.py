"""The pictures of search.html, as SVG that takes its text colour from the page, so that they suit light and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from gpts_data.pipelines.figures import figure_bytes
from gpts_data.validation.report.charts import colour
from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.law import is_determined
from gpts_data.validation.search.optimum import weighted_loss
from gpts_data.validation.search.outputs.evidence import describe_tokens
from gpts_data.validation.search.result import SearchResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 60  # of the grid over a ternary picture
LEVELS = 12  # bands of predicted loss
MAX_PAIRED = 5  # sources in a picture of pairs
MAX_NAME = 18  # characters of a name
COLOUR_MAP = "viridis_r"  # dark is high loss; readable with every kind of colour blindness
UNDETERMINED = "#8c8c8c"
_INK = "#010203"  # a colour that no picture uses otherwise; replaced by the page's text colour
_MARKS = (("o", "#ffffff"), ("*", "#ff4d6d"))  # marker and colour of the recipe and of the best mixture


def draw_mixtures(result: SearchResult) -> str:
    """The tried mixtures and the loss that the law predicts, with the recipe and the proposal marked.

    Two sources: the loss over the weight of the first. Three: a ternary picture. More: the weights in pairs.
    """
    count = len(result.measurements.sources)
    return _draw_line(result) if count == 2 else _draw_ternary(result) if count == 3 else _draw_pairs(result)


def draw_predictions(result: SearchResult) -> str:
    """Measured losses of the mixtures over those predicted by laws that were fitted to the others."""

    def draw(figure: Figure) -> None:
        check = result.proposal.mean_check
        axes = figure.subplots()
        shown = check.is_determined
        losses = np.concatenate([check.measured, check.predicted[shown]])
        ends = [losses.min(), losses.max()]
        axes.plot(ends, ends, color="#8c8c8c", linestyle="--", linewidth=1)
        is_recipe = np.isclose(check.mixtures, result.measurements.recipe).all(axis=1)
        for chosen, size, face, name in (
            (shown & ~is_recipe, 18, colour(0), "mixture"),
            (shown & is_recipe, 30, colour(1), "recipe"),
        ):
            axes.scatter(check.predicted[chosen], check.measured[chosen], s=size, color=face, label=name)
        if not shown.all():
            edge = np.full(int((~shown).sum()), ends[1] + 0.06 * (ends[1] - ends[0]))
            axes.scatter(edge, check.measured[~shown], s=22, marker=">", color=UNDETERMINED, label="not determined")
        axes.set_xlabel("predicted without it, bits per byte")
        axes.set_ylabel("measured")
        _finish(axes)

    return _svg(draw, (4.2, 2.9))


def draw_horizons(result: SearchResult) -> str:
    """The best weights over the training tokens of the proxy runs; dotted lines are the recipe's weights."""

    def draw(figure: Figure) -> None:
        searched = result.measurements
        weights = np.array([proposal.weights for proposal in result.proposals])
        axes = figure.subplots()
        for i, name in enumerate(searched.sources):
            axes.plot(
                searched.horizons, 100 * weights[:, i], marker="o", markersize=4, color=colour(i), label=_short(name)
            )
            axes.axhline(100 * searched.recipe[i], color=colour(i), linestyle=":", linewidth=1)
        axes.set_xscale("log")
        axes.set_xticks(searched.horizons, [describe_tokens(tokens) for tokens in searched.horizons])
        axes.minorticks_off()
        axes.set_xlabel("training tokens of each run")
        axes.set_ylabel("best weight, %")
        axes.set_ylim(bottom=0)
        _finish(axes)

    return _svg(draw, (4.2, 2.9))


def is_law_determined(result: SearchResult) -> bool:
    """Return whether the runs determine what the law predicts in all of the picture of the mixtures."""
    sources, caps = len(result.measurements.sources), result.measurements.caps
    shown = _line(caps) if sources == 2 else _simplex_grid(caps) if sources == 3 else result.measurements.mixtures
    return bool(np.isfinite(_predict(result, shown)).all())


def _predict(result: SearchResult, mixtures: Floats) -> Floats:
    """The losses of mixtures by the law; not a number where the runs do not determine it."""
    losses = weighted_loss(result.proposal.laws, result.measurements.importance, mixtures)
    return np.where(is_determined(losses, result.proposal.mean_check.measured), losses, np.nan)


def _line(caps: Floats) -> Floats:
    """Mixtures of two sources, from the least weight of the first one to the largest."""
    weights = np.linspace(1 - caps[1], caps[0], 100)
    return np.column_stack([weights, 1 - weights])


def _draw_line(result: SearchResult) -> str:
    def draw(figure: Figure) -> None:
        searched, check = result.measurements, result.proposal.mean_check
        line = _line(searched.caps)
        axes = figure.subplots()
        axes.plot(100 * line[:, 0], _predict(result, line), color="#8c8c8c", label="law")
        axes.scatter(100 * check.mixtures[:, 0], check.measured, s=18, color=colour(0), label="measured")
        for (marker, face), (name, mixture) in zip(_MARKS, _marked(result), strict=True):
            loss = _predict(result, mixture)
            axes.scatter(
                100 * mixture[0], loss, marker=marker, s=90, color=face, edgecolors="#000000", label=name, zorder=3
            )
        axes.set_xlabel(f"weight of {_short(searched.sources[0])}, %; the rest is {_short(searched.sources[1])}")
        axes.set_ylabel("bits per byte")
        _finish(axes)

    return _svg(draw, (4.2, 2.9))


def _draw_ternary(result: SearchResult) -> str:
    from matplotlib.tri import Triangulation

    def draw(figure: Figure) -> None:
        searched = result.measurements
        axes = figure.subplots()
        grid = _simplex_grid(searched.caps)
        triangles = Triangulation(*_corners(grid))
        losses = _predict(result, grid)
        triangles.set_mask(np.isnan(losses)[triangles.triangles].any(axis=1))
        losses = np.nan_to_num(losses, nan=float(np.nanmax(losses)))  # masked, and of no effect on the bands
        shown = axes.tricontourf(triangles, losses, levels=LEVELS, cmap=COLOUR_MAP)
        axes.plot(*_corners(np.eye(3)[[0, 1, 2, 0]]), color=_INK, linewidth=0.8)
        axes.scatter(*_corners(searched.mixtures), s=9, color="#ffffff", edgecolors="#000000", linewidths=0.6)
        for (marker, face), (name, mixture) in zip(_MARKS, _marked(result), strict=True):
            size = 170 if marker == "*" else 70
            axes.scatter(
                *_corners(mixture[None]), marker=marker, s=size, color=face, edgecolors="#000000", label=name, zorder=3
            )
        for i, (x, y, align) in enumerate(((0, -0.03, "left"), (1, -0.03, "right"), (0.5, 0.9, "center"))):
            name = f"all {_short(searched.sources[i])}"
            axes.text(x, y, name, ha=align, va="bottom" if y > 0 else "top", color=_INK)
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(-0.06, 1.02))
        figure.colorbar(shown, ax=axes, shrink=0.75, pad=0.02, label="predicted bits per byte").outline.set_visible(
            False
        )

    return _svg(draw, (4.2, 3.2))


def _draw_pairs(result: SearchResult) -> str:
    """The weights of two sources at a time, for those with the greatest effect on the loss."""

    def draw(figure: Figure) -> None:
        searched = result.measurements
        mixtures = searched.mixtures
        effects = np.average([law.t for law in result.proposal.laws], axis=0, weights=searched.importance)
        chosen = sorted(np.argsort(-np.abs(effects) * mixtures.std(axis=0))[:MAX_PAIRED])
        losses, count = _predict(result, mixtures), len(chosen) - 1
        panels = figure.subplots(count, count, squeeze=False, sharex="col", sharey="row")
        for row, second in enumerate(chosen[1:]):
            for column, first in enumerate(chosen[:-1]):
                axes = panels[row, column]
                if column > row:
                    axes.set_axis_off()
                    continue
                shown = axes.scatter(
                    100 * mixtures[:, first], 100 * mixtures[:, second], s=12, c=losses, cmap=COLOUR_MAP
                )
                for (marker, face), (_, mixture) in zip(_MARKS, _marked(result), strict=True):
                    size = 90 if marker == "*" else 40
                    axes.scatter(
                        100 * mixture[first],
                        100 * mixture[second],
                        marker=marker,
                        s=size,
                        color=face,
                        edgecolors="#000000",
                    )
                axes.spines[["top", "right"]].set_visible(False)
                if row == count - 1:
                    axes.set_xlabel(_short(searched.sources[first]))
                if column == 0:
                    axes.set_ylabel(_short(searched.sources[second]))
        figure.colorbar(shown, ax=panels, shrink=0.6, label="predicted bits per byte").outline.set_visible(False)

    return _svg(draw, (5.4, 5.0))


def _marked(result: SearchResult) -> tuple[tuple[str, Floats], tuple[str, Floats]]:
    """The two mixtures that are marked, with their names."""
    best = "proposed" if result.accepted else "best by the law"
    return ("recipe", result.measurements.recipe), (best, result.proposal.weights)


def _simplex_grid(caps: Floats) -> Floats:
    """Mixtures of three sources on a grid, moved to the nearest ones below the caps."""
    i, j = np.meshgrid(np.arange(STEPS + 1), np.arange(STEPS + 1))
    grid = np.stack([i, j, STEPS - i - j], axis=-1).reshape(-1, 3) / STEPS
    return grid[(grid >= 0).all(axis=1) & (grid <= caps + 1e-9).all(axis=1)]


def _corners(mixtures: Floats) -> tuple[Floats, Floats]:
    """Coordinates in a triangle: the first source is its left corner, the second its right one, the third its top."""
    return mixtures[:, 1] + mixtures[:, 2] / 2, mixtures[:, 2] * np.sqrt(3) / 2


def _finish(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _svg(draw: Callable[[Figure], None], size: tuple[float, float]) -> str:
    """Return what `draw` makes on an empty figure of `size` inches. The same values give the same text."""
    from matplotlib.figure import Figure

    def make_figure() -> Figure:
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        return figure

    text_colours = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
    style = {"font.size": 8, "legend.fontsize": 7.5, **dict.fromkeys(text_colours, _INK)}
    svg = figure_bytes(make_figure, style=style, transparent=True).decode()
    return svg[svg.index("<svg") :].replace(_INK, "currentColor")

"""search.html: the result of a search as one page, in the look of the mix report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gpts_data.pipelines.text.control_characters import escape
from gpts_data.validation.report import page as report_page
from gpts_data.validation.report.charts import colour
from gpts_data.validation.search.outputs.evidence import evidence, verdict_sentence
from gpts_data.validation.search.outputs.pictures import (
    draw_horizons,
    draw_mixtures,
    draw_predictions,
    is_law_determined,
)
from gpts_data.validation.search.result import SearchResult

POINT = 0.01  # a percentage point of weight


@dataclass(frozen=True)
class SourceRow:
    """The figures of one source on the page."""

    name: str
    colour: str
    recipe: float
    proposed: float
    largest: float
    epochs: float
    """The number of times that the proposed mix repeats the source."""


@dataclass(frozen=True)
class TargetRow:
    """The figures of one target on the page. Losses are in bits per byte."""

    name: str
    importance: float
    measured: float
    """Mean loss of the runs with the recipe's weights."""
    recipe: float
    """Predicted loss of the recipe's weights."""
    proposed: float
    """Predicted loss of the proposed weights."""
    rank_correlation: float
    error: float | None
    """None where the other runs do not determine the prediction of every mixture."""
    effects: tuple[float, ...]
    """Change of the loss with one percentage point more of each source, taken from the others by their weights."""


def render_search(result: SearchResult) -> str:
    """Render a search as one HTML page that loads nothing. The same result always gives the same text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share, digits: f"{share:.{digits}%}"
    environment.filters["fixed"] = lambda number, digits: f"{number:.{digits}f}"
    pictures = {"mixtures": draw_mixtures, "predictions": draw_predictions, "horizons": draw_horizons}
    page = environment.get_template("search.html.j2").render(
        style=Markup((report_page.FOLDER / "report.css").read_text(encoding="utf-8")),
        accepted=result.accepted,
        verdict=verdict_sentence(result),
        reasons=result.reasons,
        evidence=evidence(result),
        sources=_sources(result),
        targets=_targets(result),
        determined=is_law_determined(result),
        predicted=bool(result.proposal.mean_check.is_determined.all()),
        pictures={name: Markup(draw(result)) for name, draw in pictures.items()},
    )
    return escape(page.lstrip()) + "\n"


def _sources(result: SearchResult) -> list[SourceRow]:
    searched = result.measurements
    columns = searched.recipe, result.proposal.weights, searched.caps, result.proposal.weights * searched.epochs
    return [
        SourceRow(name, colour(i), *(float(column[i]) for column in columns)) for i, name in enumerate(searched.sources)
    ]


def _targets(result: SearchResult) -> list[TargetRow]:
    searched, proposal = result.measurements, result.proposal
    is_recipe = (searched.mixtures == searched.recipe).all(axis=1)
    measured = searched.losses[-1][is_recipe].mean(axis=0)
    rows = []
    for i, (law, check) in enumerate(zip(proposal.laws, proposal.checks, strict=True)):
        slopes = law.gradient(searched.recipe)
        effects = POINT * (slopes - searched.recipe @ slopes) / np.maximum(1 - searched.recipe, POINT)
        recipe, proposed = law.predict(np.array([searched.recipe, proposal.weights])).tolist()
        rows.append(
            TargetRow(
                searched.targets[i],
                searched.importance[i],
                float(measured[i]),
                recipe,
                proposed,
                check.rank_correlation,
                check.error if check.is_determined.all() else None,
                tuple(effects.tolist()),
            )
        )
    return rows

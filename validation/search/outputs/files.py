"""Writes all files of a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpts_data.pipelines.storage.atomic_files import write_bytes, write_json
from gpts_data.validation.search.outputs.law_file import law_content
from gpts_data.validation.search.outputs.page import render_search
from gpts_data.validation.search.outputs.proposed_recipe import write_proposed_recipe
from gpts_data.validation.search.outputs.tables import write_metrics, write_ratios
from gpts_data.validation.search.result import SearchResult

RATIOS, METRICS, LAW, PAGE, PROPOSED = "ratios.csv", "metrics.csv", "law.json", "search.html", "proposed.toml"


def write_outputs(out: Path, result: SearchResult, recipe_text: str | None, recipe_folder: Path) -> dict[str, Any]:
    """Write the files of a search into the folder `out`, and return the content of law.json.

    proposed.toml is written only when the proposed weights are accepted and `recipe_text`, the user's recipe, is
    given; one of an earlier search is removed. `recipe_folder`: where the recipe's relative paths start.
    """
    searched = result.measurements
    write_ratios(out / RATIOS, searched.sources, searched.runs)
    write_metrics(out / METRICS, searched.targets, searched.runs, searched.losses[-1])
    if result.accepted and recipe_text is not None:
        write_proposed_recipe(out / PROPOSED, result, recipe_text, recipe_folder)
    else:
        (out / PROPOSED).unlink(missing_ok=True)
    content = law_content(result)
    write_bytes(out / PAGE, render_search(result).encode())
    write_json(out / LAW, content)
    return content

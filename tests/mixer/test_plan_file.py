"""plan.json of a half-finished build: a plan that its receipt's checksum fits, but that is none, counts as damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpts_data.mixer.plan_file import read_frozen_plan, write_plan
from gpts_data.mixer.recipe import load_recipe, resolved


def identity(recipe_file: Path, **changes: Any) -> dict[str, Any]:
    recipe = load_recipe(recipe_file)
    listings = [{"revision": None, "files": []} for _ in recipe.source]
    plan = {"format": 1, "recipe": resolved(recipe), "sources": listings, "benchmarks": [], "tokenizer": None}
    return {**plan, **changes}


def test_a_plan_is_read_as_it_was_written(recipe_file: Path, tmp_path: Path) -> None:
    write_plan(tmp_path, identity(recipe_file))
    assert read_frozen_plan(tmp_path) == identity(recipe_file)


@pytest.mark.parametrize(
    "changes",
    [{"recipe": {}}, {"recipe": {"source": 1}}, {"sources": []}, {"benchmarks": [{"revision": None, "files": []}]}],
    ids=str,
)
def test_a_plan_of_no_recipe_counts_as_damaged(recipe_file: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    write_plan(tmp_path, identity(recipe_file, **changes))
    assert read_frozen_plan(tmp_path) is None

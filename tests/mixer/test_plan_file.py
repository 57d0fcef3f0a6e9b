"""plan.json of a half-finished build: a plan that its receipt's checksum fits, but that is none, counts as damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpts_data.mixer.plan_file import MAX_DIFFERENCES, difference, read_frozen_plan, write_plan
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


def test_every_difference_is_named() -> None:
    before: dict[str, Any] = {"seed": 1, "source": [{"name": "web", "weight": 2}, {"name": "books", "weight": 3}]}
    now = {"seed": 2, "source": [{"name": "web", "weight": 5}], "window": 64}
    assert difference(before, now) == (
        'seed: 1 before, 2 now; source.books: {"name": "books", "weight": 3} before, null now; '
        "source.web.weight: 2 before, 5 now; window: null before, 64 now"
    )
    assert difference({"a": [1, 2]}, {"a": [1, 3]}) == "a[1]: 2 before, 3 now"
    many = difference({"a": [0] * 100}, {"a": [1] * 100})
    assert many.endswith(f"; and {100 - MAX_DIFFERENCES} more") and many.count("before") == MAX_DIFFERENCES
    assert len(difference({"a": "x" * 1000}, {})) < 200

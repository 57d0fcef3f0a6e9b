"""plan.json of a half-finished build: a plan that its receipt's checksum fits, but that is none, counts as damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.plan import Plan, make_plan
from gpts_data.mixer.plan_file import MAX_DIFFERENCES, difference, read_frozen_plan, write_plan
from gpts_data.mixer.recipe import load_recipe, resolved
from gpts_data.mixer.workspace import clean_up
from gpts_data.pipelines.storage.paths import AnyPath


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


def test_local_files_of_a_build_into_a_store_are_where_nobody_can_foresee(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed build finds the folder again, since whole files from the Hub stay there; another build has another."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def plan(folder: AnyPath) -> Plan:
        return make_plan(load_recipe(recipe_file), recipe_file.parent, folder, None, NAME)

    first, other = plan(UPath("memory://scratch/mix")), plan(UPath("memory://scratch/mix"))
    assert first.scratch.parent == tmp_path and first.scratch != other.scratch
    write_plan(first.work, first.identity(), first.scratch_name)
    assert plan(first.folder).scratch == first.scratch
    (first.scratch / "spool").mkdir(parents=True)
    clean_up(first)
    assert not list(tmp_path.iterdir()) and plan(first.folder).scratch != first.scratch
    local = plan(tmp_path / "mix")
    write_plan(local.work, local.identity(), local.scratch_name)
    assert local.scratch == local.work and local.scratch_name not in (local.work / "plan.json").read_text("utf-8")

"""Dropped documents that are shown: as many as asked for, the same for any workers, beside what they repeat."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages.dropped_samples import CHARACTERS, DroppedSamples
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.validation.verify import verify


def shown(folder: Path) -> dict[str, list[dict[str, Any]]]:
    return {
        path.stem: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for path in sorted((folder / "dropped").iterdir())
    }


def test_dropped_documents_lie_beside_what_they_repeat(recipe_file: Path, tmp_path: Path) -> None:
    recipe = replace(load_recipe(recipe_file), keep_dropped=3, clean=CleanConfig(min_characters=250))
    build(recipe, recipe_file.parent, tmp_path / "mix")
    assert verify(tmp_path / "mix") == []
    manifest = open_mix(tmp_path / "mix").manifest
    for source, rows in shown(tmp_path / "mix").items():
        dropped = {k: n for k, n in manifest["waterfall"][source]["dropped"].items() if k != "over_budget"}
        assert {reason: min(n, 3) for reason, n in dropped.items()} == {
            reason: sum(row["reason"] == reason for row in rows) for reason in dropped
        }
        for row in rows:
            assert row["text"] and row["unit"]
            if row["reason"].endswith("_duplicate"):
                assert row["kept"]["source"] in recipe.names
                assert row["kept"]["id"] != row["id"] or row["kept"]["unit"] != row["unit"]
            if row["reason"] == "exact_duplicate":
                assert row["kept"]["text"].split() == row["text"].split()
    build(recipe, recipe_file.parent, tmp_path / "again", workers=2)
    assert shown(tmp_path / "again") == shown(tmp_path / "mix")
    assert open_mix(tmp_path / "again").manifest["root_digest"] == manifest["root_digest"]


@pytest.mark.parametrize("order", [range(50), reversed(range(50))])
def test_those_with_the_smallest_draws_are_shown(order: Any) -> None:
    few = DroppedSamples(4)
    for draw in order:
        few.add(draw, {"reason": "odd" if draw % 2 else "even"})
    assert [draw for draw, _ in few.rows()] == [0, 2, 4, 6, 1, 3, 5, 7]


def test_long_texts_are_cut() -> None:
    assert DroppedSamples.cut("a" * CHARACTERS) == "a" * CHARACTERS
    assert len(DroppedSamples.cut("a" * 10**6)) < CHARACTERS + 10

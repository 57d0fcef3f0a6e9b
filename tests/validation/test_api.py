"""The functions do what the commands do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import RecipeError, UsageError
from gpts_data.validation.api import build_mix, find_recipe, open_mix, plan, verify


def test_build_open_verify(mix: Mix, recipe_file: Path, tmp_path: Path) -> None:
    built = build_mix(recipe_file, tmp_path / "mix", tokenizer=mix.tokenizer)
    assert built.created and not build_mix(recipe_file, str(tmp_path / "mix"), tokenizer=str(mix.tokenizer)).created
    assert open_mix(tmp_path / "mix").manifest == built.manifest
    assert verify(tmp_path / "mix") == []
    (tmp_path / "mix" / "README.md").unlink()
    assert [problem.file for problem in verify(str(tmp_path / "mix"), quick=True)] == ["README.md"]


def test_plan(recipe_file: Path) -> None:
    assert plan(recipe_file, tokens=5000).windows == sum(load_recipe(recipe_file, 5000).windows)


def test_recipes_by_name_by_file_and_as_they_are(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, folder = find_recipe("sample", 5000)
    assert recipe.tokens == 5000 and (folder / "sample.toml").exists()
    assert find_recipe(recipe) == (recipe, Path())
    assert find_recipe(recipe, 9000)[0].tokens == 9000
    with pytest.raises(RecipeError, match="source name '../evil'"):
        find_recipe(replace(recipe, source=(replace(recipe.source[0], name="../evil"),)))
    assert find_recipe(str(recipe_file)) == (load_recipe(recipe_file), recipe_file.parent)
    with pytest.raises(RecipeError, match="no preset is called 'nope'; expected one of gpt-s-5m, sample"):
        find_recipe("nope")


def test_no_workers_at_all(mix: Mix) -> None:
    with pytest.raises(UsageError, match="workers = 0, expected 1 or more"):
        verify(mix.path, workers=0)

"""The functions do what the commands do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import RecipeError, UsageError
from gpts_data.validation.api import (
    build_mix,
    explain_document,
    export,
    find_recipe,
    inspect,
    locate_document,
    open_mix,
    plan,
    trace,
    verify,
)
from gpts_data.validation.inspect import inspect as describe


def test_build_open_verify(mix: Mix, recipe_file: Path, tmp_path: Path) -> None:
    built = build_mix(recipe_file, tmp_path / "mix", tokenizer=mix.tokenizer)
    assert built.created and not build_mix(recipe_file, str(tmp_path / "mix"), tokenizer=str(mix.tokenizer)).created
    assert open_mix(tmp_path / "mix").manifest == built.manifest
    assert verify(tmp_path / "mix") == [] and len(repr(built)) < 200
    (tmp_path / "mix" / "README.md").unlink()
    assert [problem.file for problem in verify(str(tmp_path / "mix"), quick=True)] == ["README.md"]


def test_plan(recipe_file: Path) -> None:
    assert plan(recipe_file, tokens=5000).windows == sum(load_recipe(recipe_file, 5000).windows)


def test_recipes_by_name_by_file_and_as_they_are(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, folder = find_recipe("sample", 5000)
    assert recipe.tokens == 5000 and (folder / "sample.toml").exists()
    assert find_recipe(recipe) == (recipe, Path())
    assert find_recipe(recipe, "9k")[0].tokens == 9000
    assert find_recipe(recipe, recipe_folder=str(folder)) == (recipe, folder)
    with pytest.raises(UsageError, match="tokens = 'many', expected a quantity such as 3M"):
        find_recipe("sample", "many")
    with pytest.raises(RecipeError, match="source name '../evil'"):
        find_recipe(replace(recipe, source=(replace(recipe.source[0], name="../evil"),)))
    assert find_recipe(str(recipe_file)) == (load_recipe(recipe_file), recipe_file.parent)
    with pytest.raises(RecipeError, match="no preset is called 'nope'; expected one of climbmix, gpt-s-5m, sample"):
        find_recipe("nope")


def test_fewer_than_no_workers(mix: Mix) -> None:
    with pytest.raises(UsageError, match="workers = -1, expected 1 or more, or 0 to choose"):
        verify(mix.path, workers=-1)
    assert not verify(mix.path, workers=0)  # by the size of the mix


def test_a_changed_recipe_is_built_from_its_own_folder(mix: Mix, recipe_file: Path, tmp_path: Path) -> None:
    recipe = replace(load_recipe(recipe_file), seed=2)
    built = build_mix(recipe, tmp_path / "mix", tokens="10k", tokenizer=mix.tokenizer, recipe_folder=recipe_file.parent)
    assert built.manifest["recipe"]["seed"] == 2 and built.manifest["windows"] == round(10_000 / mix.window)


def test_inspect_has_what_the_command_prints(mix: Mix) -> None:
    summary, printed = inspect(mix.path), describe(mix)
    assert inspect(mix) == summary and summary.root_digest == printed["root_digest"]
    assert {name: source.documents for name, source in summary.sources.items()} == {
        name: source["documents"] for name, source in printed["sources"].items()
    }
    assert summary.waterfall == printed["waterfall"] and summary.decontamination is None
    assert len(repr(summary)) < 1000


def test_trace_there_and_back(mix: Mix) -> None:
    origin = trace(mix.path, 70)
    assert trace(mix, "70") == origin
    (location,) = locate_document(mix, origin.document_id)
    assert [outcome.location for outcome in explain_document(mix, origin.document_id)] == [location]
    assert 70 // mix.window in {position for span in location.windows for position in span.positions}
    with pytest.raises(UsageError, match="the mix has tokens 0 to"):
        trace(mix, mix.tokens)


def test_export(mix: Mix, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    exported = export(
        mix.path,
        "nanogpt",
        tmp_path / "out",
        progress=lambda stage, _, done, total, note="": seen.append((stage, done, total)),
    )
    assert exported.manifest["export_format"] == "nanogpt" and (tmp_path / "out" / "train.bin").exists()
    assert len(repr(exported)) < 500
    assert seen[-1][0] == "export" and seen[-1][1] == seen[-1][2]


def test_progress_is_drawn_when_asked_for(mix: Mix, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(mix) == verify(mix, progress=False) == [] and capsys.readouterr().err == ""

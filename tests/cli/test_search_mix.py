"""`search-mix`: its JSON, its exit codes, and nothing heavy before it runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from gpts_data.validation.search.result import SearchResult
from tests.conftest import WriteRecipe

SMALL = ["--layers", "1", "--width", "32", "--tokens-per-run", "1k", "--runs", "5", "--workers", "1"]


@pytest.fixture(scope="module")
def arguments(write_recipe: WriteRecipe, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder, recipe = tmp_path_factory.mktemp("kept"), write_recipe(tokens="8k")
    build(load_recipe(recipe), recipe.parent, folder / "mix", keep_units=folder / "units")
    return ["search-mix", "--recipe", str(recipe), "--units", str(folder / "units"), *SMALL]


def test_the_recipes_weights_stay_with_exit_code_3_and_the_reason(arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "search"
    shown = CliRunner().invoke(cli, [*arguments, "--out", str(out)])  # too few tokens to tell anything
    assert shown.exit_code == 3
    assert "the recipe's weights stay." in shown.stderr
    assert "no --target was given" in shown.stderr
    assert "leave-one-out" in shown.stdout.casefold()
    assert not (out / "proposed.toml").exists()
    *_, last = shown.stdout.splitlines()
    assert last.startswith("To search again with more runs, which needs a new folder: gpts-data search-mix --recipe ")
    assert last.endswith(f"--layers 1 --width 32 --workers 1 --runs 10 --out {out}-2")
    state = CliRunner().invoke(cli, ["status", str(out)])
    assert state.exit_code == 2
    assert (
        "is the folder of a search" in state.stderr
        and f"search-mix --recipe RECIPE --units UNITS --out {out}" in state.stderr
    )
    again = CliRunner().invoke(cli, [*arguments, "--out", str(out), "--json"])
    content = json.loads(again.stdout)
    assert (again.exit_code, content["accepted"]) == (3, False)
    assert content["reasons"] and isinstance(content["leave_one_out_rank_correlation"], float)
    assert content["proposed"].keys() == {"web", "books", "notes"}
    assert content["predicted"].keys() >= {"recipe", "proposed"}
    assert {path.name for path in out.iterdir()} >= {"ratios.csv", "metrics.csv", "law.json", "search.html"}


def test_accepted_weights_come_with_a_recipe_and_the_next_command(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SearchResult, "accepted", True)
    monkeypatch.setattr(SearchResult, "reasons", ())
    out = tmp_path / "search"
    shown = CliRunner().invoke(cli, [*arguments, "--out", str(out), "--target", "books=2", "--target", "web"])
    assert shown.exit_code == 0
    assert f"Next: gpts-data build-mix --recipe {out}/proposed.toml" in shown.stdout
    recipe = load_recipe(out / "proposed.toml")
    proposed = json.loads((out / "law.json").read_text(encoding="utf-8"))["proposed"]
    weights = {name: weight / sum(recipe.weights) for name, weight in zip(recipe.names, recipe.weights, strict=True)}
    assert weights == pytest.approx(proposed)


def test_mistakes_are_refused_before_any_work(arguments: list[str], tmp_path: Path) -> None:
    for options, message in ((["--target", "nothing.txt"], "no such file"), (["--width", "100"], "a multiple of 32")):
        refused = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "search"), *options])
        assert refused.exit_code == 2
        assert message in refused.stderr
    assert not (tmp_path / "search").exists()

"""`read_status` says how far a build is, while it runs, after it was stopped, and when it is finished."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gpts_data.cli.main import cli
from gpts_data.mixer.build import build
from gpts_data.mixer.build_status import BuildStatus, read_status
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import ShortSourceError, UsageError
from tests.conftest import WriteRecipe


class StoppedError(Exception):
    """Ends a build as a kill would, but with its lock released."""


def stop_at(stage: str, recipe_file: Path, folder: Path, mix: Mix) -> BuildStatus:
    """Build until the first task of a stage is done, and return the status at that moment, while the lock is held."""
    states = []

    def progress(name: str, _: str, done: int, *more: object) -> None:
        if name == stage and done:
            states.append(read_status(folder))
            raise StoppedError

    with pytest.raises(StoppedError):
        build(load_recipe(recipe_file), recipe_file.parent, folder, tokenizer=mix.tokenizer, progress=progress)
    return states[0]


def status(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["status", *map(str, arguments)])


def test_each_stage_of_a_build(recipe_file: Path, mix: Mix, tmp_path: Path) -> None:
    folder = tmp_path / "mix"
    preparing = stop_at("prepare", recipe_file, folder, mix)
    assert (preparing.stage, preparing.locked, preparing.finished) == ("prepare", True, False)
    assert sum(source.units for source in preparing.sources.values()) == 1
    recipe = load_recipe(recipe_file)
    needed = {name: windows * 64 for name, windows in zip(recipe.names, recipe.windows, strict=True)}
    assert {name: source.needed for name, source in preparing.sources.items()} == needed

    assert not read_status(folder).locked
    shown = status(folder)
    assert shown.exit_code == 0
    assert "no build is at work here; preparing units" in shown.stdout and "stage 2 of 5" in shown.stdout
    continued = f"gpts-data build-mix --recipe RECIPE --tokens 20000 --tokenizer DIR --out {folder}"
    assert f"Next: the same build-mix command: {continued}" in shown.stdout

    cutting = stop_at("cut", recipe_file, folder, mix)
    assert cutting.stage == "cut" and all(source.tokens >= needed[name] for name, source in cutting.sources.items())
    writing = stop_at("shards", recipe_file, folder, mix)
    assert (writing.stage, writing.shards, writing.shards_total) == ("shards", 1, len(mix.manifest["shards"]))
    assert "1 of " in status(folder).stdout
    assert stop_at("outcomes", recipe_file, folder, mix).stage == "outcomes"
    assert "stage 5 of 5" in status(folder).stdout

    assert "finished" not in status(folder).stdout
    refused = CliRunner().invoke(cli, ["verify", str(folder)])
    assert refused.exit_code == 2
    assert f"not a finished mix: no manifest.json in it; a half-finished build is there: gpts-data status {folder}" in (
        refused.stderr
    )


def test_a_finished_mix_names_its_digest_and_the_command_that_verifies_it(mix: Mix) -> None:
    state = read_status(mix.path)
    assert state.finished and state.root_digest == mix.manifest["root_digest"] and not state.locked
    shown = status(mix.path)
    assert shown.exit_code == 0
    assert f"root digest {state.root_digest}\nNext: gpts-data verify {mix.path}\n" in shown.stdout
    assert '"finished": true' in status(mix.path, "--json").stdout


def test_units_of_a_build_whose_source_was_too_short(write_recipe: WriteRecipe, mix: Mix, tmp_path: Path) -> None:
    recipe_file = write_recipe(tokens="150k")
    with pytest.raises(ShortSourceError):
        build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix", tokenizer=mix.tokenizer)
    state = read_status(tmp_path / "mix")
    assert state.stage == "given up" and state.recipe is None
    assert all(source.units and source.needed is None for source in state.sources.values())
    shown = status(tmp_path / "mix")
    assert shown.exit_code == 0 and "a source was too short" in shown.stdout and "fewer --tokens" in shown.stdout


def test_neither_a_mix_nor_a_build(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nomix is not a mix or a build: no such folder"):
        read_status(tmp_path / "nomix")
    with pytest.raises(UsageError, match="it has neither manifest.json nor .build"):
        read_status(tmp_path)
    assert status(tmp_path / "nomix").exit_code == 2

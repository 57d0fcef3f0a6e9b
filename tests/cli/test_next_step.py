"""An error ends in a command to copy."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.cli.next_step import next_step
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import (
    ForeignFolderError,
    GptsDataError,
    RecipeError,
    SourceUnavailableError,
    StorageError,
    UsageError,
)

BUILD = ["build-mix", "--recipe", "my recipe.toml", "--tokens", "2M", "--out", "mix"]


@pytest.mark.parametrize(
    ("error", "message", "arguments", "line"),
    [
        (
            SourceUnavailableError,
            "no answer",
            BUILD,
            "gpts-data build-mix --recipe 'my recipe.toml' --tokens 2M --out mix",
        ),
        (StorageError, "disk full", ["--debug", "verify", "mix"], "gpts-data --debug verify mix"),
        (RecipeError, "seed", BUILD, "correct this, then gpts-data plan --recipe 'my recipe.toml' --tokens 2M"),
        (ForeignFolderError, "another mix", ["build-mix", "--out=mix/"], "gpts-data build-mix --out=mix-2"),
        (ForeignFolderError, "inside the mix", ["export", "mix", "--out", "mix/a"], "gpts-data export --help"),
        (UsageError, "no token 9", ["trace", "mix"], "gpts-data trace --help"),
        (UsageError, "no mix; gpts-data build-mix --out mix makes it", ["trace", "mix"], None),
        (GptsDataError, "broken", ["--debug"], None),
    ],
)
def test_the_line_below_a_message(
    error: type[GptsDataError], message: str, arguments: list[str], line: str | None
) -> None:
    assert next_step(error, message, arguments) == (line and f"Next: {line}")


def test_a_token_in_the_command_line_is_masked() -> None:
    line = next_step(StorageError, "full", ["build-mix", "--out", "https://user:secret@host/mix"])
    assert line and "secret" not in line


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["verify", "nomix"], 2, "there is no such folder; gpts-data build-mix --recipe RECIPE --out nomix makes it"),
        (["verify", "."], 2, "no manifest.json in it"),
        (["trace", "MIX"], 2, "Next: gpts-data trace --help"),
        (
            ["build-mix", "--recipe", "sample", "--tokenizer", "old", "--out", "x"],
            2,
            "GPT2TokenizerFast.from_pretrained",
        ),
        (["build-mix", "--recipe", "sample", "--out", "MIX"], 2, "Next: gpts-data build-mix --recipe sample --out"),
    ],
)
def test_what_commands_say(
    arguments: list[str], code: int, expected: str, mix: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "old" / name).touch()
    result = CliRunner().invoke(cli, [str(mix.path) if word == "MIX" else word for word in arguments])
    assert result.exit_code == code and expected in result.stderr
    assert "gpts-data: " in result.stderr and not (tmp_path / "x").exists()


def test_another_mix_in_the_folder_is_told_apart_in_everything(mix: Mix) -> None:
    result = CliRunner().invoke(cli, ["build-mix", "--recipe", "sample", "--tokens", "4k", "--out", str(mix.path)])
    for key in ("recipe.name", "recipe.tokens", "recipe.seed", "recipe.window"):
        assert f"{key}: " in result.stderr

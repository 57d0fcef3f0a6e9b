"""Every block of the README runs, in order, in one folder; what it shows is what comes out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S)
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def run(command: str, folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"}
    environment.pop("OMP_NUM_THREADS", None)  # a cluster of an earlier test may have left it: half the training's speed
    done = subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_it_starts_with_the_demo() -> None:
    assert [kind for kind, _ in BLOCKS][:2] == ["bash", "text"]
    assert BLOCKS[0][1].strip() == "make demo"


@pytest.mark.timeout(1200)
def test_the_demo_shows_what_the_readme_says(folder: Path) -> None:
    """`make demo` is the command below in an environment of its own. Losses are a machine's own."""
    command = re.search(r"^demo:.*\n\t\$\(BIN\)/(.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert command is not None
    printed, shown = (
        [line.split(": loss")[0] for line in text.splitlines()] for text in (run(command[1], folder), BLOCKS[1][1])
    )
    assert printed == shown and len(shown) == 4


@pytest.mark.timeout(1200)
def test_every_other_block_runs(folder: Path) -> None:
    for kind, text in BLOCKS[2:]:
        if kind == "bash":
            for line in text.strip().splitlines():
                run(line, folder)
        elif kind == "python":
            run(f"{shlex.quote(sys.executable)} -c {shlex.quote(text)}", folder)
        else:
            assert kind in ("text", "toml"), f"a block of {kind} is not tested"


def test_the_recipe_shown_is_a_recipe(tmp_path: Path) -> None:
    from gpts_data.mixer.recipe import load_recipe

    for text in (text for kind, text in BLOCKS if kind == "toml"):
        (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
        assert load_recipe(tmp_path / "recipe.toml").names


def test_every_command_is_named() -> None:
    from gpts_data.cli.main import cli

    for name in cli.commands:
        assert name in README, f"{name} is not in the README"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target

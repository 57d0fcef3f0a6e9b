"""What is said while something goes on: on stderr alone, as much as was asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = "from gpts_data.cli.main import cli; cli()"


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, "build-mix", "--recipe", "sample", "--tokens", "100k", "--out", "mix"]
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert "root digest" in done.stdout
    return done


def test_quiet_says_nothing_and_verbose_every_unit(tmp_path: Path) -> None:
    (tmp_path / "quiet").mkdir()
    (tmp_path / "verbose").mkdir()
    assert build(tmp_path / "quiet", "--quiet").stderr == ""
    said = build(tmp_path / "verbose", "-v").stderr
    assert "documents read" in said and "\x1b" not in said

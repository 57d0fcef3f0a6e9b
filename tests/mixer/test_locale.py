"""A mix does not depend on the locale: every file that we read or write is UTF-8."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from tests.conftest import WriteRecipe

PROGRAM = """
import locale, sys
from gpts_data.cli.main import cli
assert locale.getpreferredencoding(False).upper().replace("_", "-") in ("ISO-8859-1", "ANSI-X3.4-1968", "US-ASCII")
cli()
"""


@pytest.fixture(scope="module")
def latin1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose encoding is ISO-8859-1, or ASCII where no such locale can be made."""
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    environment.pop("PYTHONIOENCODING", None)
    folder = tmp_path_factory.mktemp("locales")
    if shutil.which("localedef"):
        command = ["localedef", "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")]
        if subprocess.run(command, capture_output=True).returncode == 0:
            environment |= {"LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1"}
    return environment


def test_a_build_under_another_locale_is_the_same(
    latin1: dict[str, str], write_recipe: WriteRecipe, home: Path, tmp_path: Path
) -> None:
    shutil.copy(home / "corpus/books.jsonl", home / "corpus/b\u00fccher \N{BOOKS}.jsonl")
    recipe = write_recipe(edit=(("books.jsonl", "b\u00fccher ?*.jsonl"),))
    built = build(load_recipe(recipe), home, tmp_path / "utf-8")
    out = tmp_path / "mix"
    command = [sys.executable, "-c", PROGRAM, "build-mix", "--recipe", str(recipe), "--out", str(out)]
    done = subprocess.run(command, env=latin1, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"unexplained" in done.stdout
    manifest = json.loads((out / "manifest.json").read_bytes())
    assert manifest["root_digest"] == built.manifest["root_digest"]

"""`plan` and `inspect` count e-mail addresses and card numbers, and name the sources without a license."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from tests.conftest import prose

RECIPE = """
name = "letters"
tokens = "6k"
window = 64
[[source]]
name = "letters"
weight = 50
files = "letters.jsonl"
[[source]]
name = "books"
weight = 50
files = "books.jsonl"
license = "cc0-1.0"
[clean]
filters = []
"""
N = 30  # documents of a source


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each letter has an address; every third also has the number of a card."""
    folder = tmp_path_factory.mktemp("letters")
    rng = random.Random(5)
    letters = [prose(rng, 90) + f" To reader{n}@example.org." for n in range(N)]
    letters = [text + " 4111 1111 1111 1111." * (n % 3 == 0) for n, text in enumerate(letters)]
    for name, texts in (("letters", letters), ("books", [prose(rng, 90) for _ in range(N)])):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return folder / "recipe.toml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)


def test_plan_counts_what_is_in_its_sample(recipe: Path, mix: Mix) -> None:
    command = ("plan", "--recipe", recipe, "--tokenizer", mix.tokenizer)
    sources = json.loads(run(*command, "--json").stdout)["sources"]
    counts = {name: source["personal_data"] for name, source in sources.items()}
    assert (counts["letters"]["emails"], counts["letters"]["card_numbers"]) == (N, N / 3)
    assert (counts["books"]["emails"], counts["books"]["card_numbers"]) == (0, 0)
    assert counts["books"]["tokens"] > 1000
    assert "no license: letters." in run(*command).stdout


def test_inspect_counts_what_is_in_its_windows(recipe: Path, mix: Mix, tmp_path: Path) -> None:
    assert not run("build-mix", "--recipe", recipe, "--tokenizer", mix.tokenizer, "--out", tmp_path / "mix").exit_code
    command = ("inspect", tmp_path / "mix", "--personal-data")
    shown = json.loads(run(*command, "--json").stdout)
    counts = shown["personal_data"]
    assert 0.3 * N < counts["letters"]["emails"] <= N  # some are cut by the end of a window, and some are held out
    assert counts["letters"]["card_numbers"] > 0
    assert (counts["books"]["emails"], counts["books"]["card_numbers"]) == (0, 0)
    assert {name: data["tokens"] for name, data in counts.items()} == {
        name: source["tokens"] for name, source in shown["sources"].items()
    }
    text = run(*command).stdout
    assert "e-mail addresses" in text and "no license: letters." in text
    assert "e-mail addresses" not in run(*command[:2]).stdout

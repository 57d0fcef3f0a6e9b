"""`init`: its recipe loads and `plan` works on it, for files and for a dataset on a hub; it overwrites nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gpts_data.cli.main import cli
from gpts_data.mixer.recipe import load_recipe
from tests.support.datasets import card, edu_columns, used_here, write
from tests.support.hub import Hub
from tests.support.prose import documents


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_the_recipe_loads_and_plan_works_on_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(home / "corpus", tmp_path / "corpus")
    monkeypatch.chdir(tmp_path / "corpus")
    out = tmp_path / "mine.toml"
    written = run("init", "web", "books.jsonl", "*.zst", "--out", out, "--json")
    assert written.exit_code == 0, written.output
    facts = json.loads(written.stdout)
    assert facts["recipe"] == str(out)
    recipe = load_recipe(out)
    assert recipe.name == "mine" and recipe.tokens == facts["tokens"]
    assert {source.name: (*source.files, source.text, source.id, source.url) for source in recipe.source} == {
        "web": ("corpus/web/*.parquet", "text", "id", "url"),
        "books": ("corpus/books.jsonl", "text", None, None),
        "notes": ("corpus/notes.jsonl.zst", "text", "id", None),
    }
    assert {name: source["weight"] for name, source in facts["sources"].items()} == dict(
        zip(recipe.names, recipe.weights, strict=True)
    )
    planned = run("plan", "--recipe", out, "--json")
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["sources"].keys() == {"web", "books", "notes"}

    text = out.read_text(encoding="utf-8")
    again = run("init", "books.jsonl", "--out", out)
    assert again.exit_code == 2 and "mine.toml exists already; choose another --out" in again.stderr
    assert out.read_text(encoding="utf-8") == text


def test_a_dataset_on_the_hub_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Hub(tmp_path / "hub") as hub:
        folder = hub.folder("acme/web")
        card(folder, {"default": "data/*"})
        for part in range(2):
            write(folder / f"data/{part}.parquet", edu_columns(f"web-{part}", documents(f"web-{part}", 60_000)))
        with used_here(hub, tmp_path / "hf"):
            written = run("init", "hf://acme/web", "--retry-for", "5s")
    assert written.exit_code == 0, written.output
    assert "Next: gpts-data plan --recipe recipe.toml" in written.stdout
    (source,) = load_recipe(tmp_path / "recipe.toml").source
    assert (source.name, source.dataset, source.text, source.id, source.url) == ("web", "acme/web", "text", "id", "url")
    assert source.revision and len(source.revision) == 40

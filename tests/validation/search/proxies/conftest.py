"""Kept units of the tiny corpus, and searches over them with a model of 27,000 parameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import Recipe, load_recipe
from gpts_data.validation.search.options import SearchOptions
from gpts_data.validation.search.result import SearchResult
from gpts_data.validation.search.search import search_mix
from tests.conftest import WriteRecipe

OPTIONS = SearchOptions(("books",), mixtures=5, tokens_per_run=2048, layers=1, width=32)
"""Eight runs of 32 windows."""


@dataclass(frozen=True)
class KeptUnits:
    """The units that a build has kept."""

    recipe_file: Path
    recipe: Recipe
    folder: Path
    mix: Path

    def search(self, out: Path, options: SearchOptions = OPTIONS, **more: Any) -> SearchResult:
        """Search on the CPU in this process, unless `more` says otherwise."""
        more = {"workers": 1, "device": "cpu", **more}
        return search_mix(self.recipe, self.recipe_file.parent, self.folder, out, options, **more)


@pytest.fixture(scope="session")
def kept(write_recipe: WriteRecipe, tmp_path_factory: pytest.TempPathFactory) -> KeptUnits:
    folder = tmp_path_factory.mktemp("kept")
    recipe_file = write_recipe()
    recipe = load_recipe(recipe_file)
    build(recipe, recipe_file.parent, folder / "mix", keep_units=folder / "units")
    return KeptUnits(recipe_file, recipe, folder / "units", folder / "mix")


@dataclass(frozen=True)
class Searched:
    """A search that ran to its end."""

    out: Path
    result: SearchResult


@pytest.fixture(scope="session")
def searched(kept: KeptUnits, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    out = tmp_path_factory.mktemp("searched") / "search"
    return Searched(out, kept.search(out))


def receipts(out: Path) -> dict[str, bytes]:
    """The bytes of the receipts of all finished runs."""
    return {path.name: path.read_bytes() for path in (out / "runs").glob("*.json")}

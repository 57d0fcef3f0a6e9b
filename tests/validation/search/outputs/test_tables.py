"""ratios.csv and metrics.csv have olmix's shape; law.json repeats a prediction."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.search.design import design_runs
from gpts_data.validation.search.law import Law
from gpts_data.validation.search.outputs.files import write_outputs
from gpts_data.validation.search.outputs.tables import write_metrics, write_ratios
from gpts_data.validation.search.result import Measurements, SearchResult, conclude

RECIPE = np.array([1 / 3, 2 / 3])
RUNS = design_runs(RECIPE, np.ones(2), seed=0)
MIXTURES = np.array([run.weights for run in RUNS])
LOSSES = Law(0.8, -0.7, (-0.3, 0.3)).predict(MIXTURES)[:, None] + np.array([0.0, 0.1])


def test_tables_have_a_row_per_run_and_olmix_columns(tmp_path: Path) -> None:
    write_ratios(tmp_path / "ratios.csv", ["web", "books"], RUNS)
    write_metrics(tmp_path / "metrics.csv", ["arc", "notes.txt"], RUNS, LOSSES)
    tables = []
    for name in ("ratios.csv", "metrics.csv"):
        with (tmp_path / name).open(encoding="utf-8", newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert list(tables[0][0]) == ["run", "name", "index", "web", "books"]
    assert list(tables[1][0]) == ["run", "name", "index", "arc", "notes.txt"]
    assert [row["run"] for row in tables[0]] == [row["run"] for row in tables[1]] == [run.name for run in RUNS]
    assert [row["index"] for row in tables[0]] == [str(i) for i in range(len(RUNS))]
    assert [[float(row["web"]), float(row["books"])] for row in tables[0]] == MIXTURES.tolist()
    assert [[float(row["arc"]), float(row["notes.txt"])] for row in tables[1]] == LOSSES.tolist()


@pytest.mark.parametrize("name", ["run", "index", "Unnamed: 0"])
def test_a_name_that_olmix_would_overlook_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="choose another name"):
        write_ratios(tmp_path / "ratios.csv", ["web", name], RUNS)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def result() -> SearchResult:
    losses = LOSSES + np.random.default_rng(0).normal(scale=1e-4, size=LOSSES.shape)
    names = ("web", "books"), ("arc", "notes")
    return conclude(
        Measurements(
            tokens=10**9,
            parameters=5_000_000,
            sources=names[0],
            supply=(10**8, 10**9),
            recipe=RECIPE,
            caps=np.ones(2),
            least=0.0001,
            targets=names[1],
            importance=(1.0, 3.0),
            runs=tuple(RUNS),
            horizons=(1, 2),
            losses=np.array([losses + 0.2, losses]),
        )
    )


def test_law_json_repeats_a_prediction(tmp_path: Path, result: SearchResult) -> None:
    returned = write_outputs(tmp_path, result, None, tmp_path)
    content = json.loads((tmp_path / "law.json").read_text(encoding="utf-8"))
    assert content == returned
    assert content["accepted"] == result.accepted is True
    proposed = content["proposed"]
    predicted = 0.0
    for law in content["targets"].values():
        exponent = law["b"] + sum(law["t"][source] * proposed[source] for source in proposed)
        predicted += law["importance"] / 4 * (law["c"] + np.exp(exponent))
    assert predicted == pytest.approx(content["predicted"]["proposed"])


def test_the_proposed_recipe_has_the_weights_and_reads_the_same_files(tmp_path: Path, result: SearchResult) -> None:
    text = "\n".join(
        ['name = "x"', 'tokens = "1B"']
        + [f'[[source]]\nname = "{name}"\nweight = 1\nfiles = "corpus/{name}.jsonl"' for name in ("web", "books")]
    )
    out = tmp_path / "search"
    out.mkdir()
    content = write_outputs(out, result, text, tmp_path)
    recipe = load_recipe(out / "proposed.toml")
    shares = np.array(recipe.weights) / sum(recipe.weights)
    assert shares == pytest.approx([content["proposed"][name] for name in ("web", "books")])
    assert [(out / name).resolve() for source in recipe.source for name in source.files] == [
        tmp_path / "corpus" / f"{name}.jsonl" for name in ("web", "books")
    ]
    assert recipe.source[0].max_epochs >= content["proposed"]["web"] * 10  # it has a tenth of the mix's tokens

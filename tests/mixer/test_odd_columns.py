"""Sources with odd columns: the documents that a build keeps, and faults for which plan and build give one error."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.planning.estimate import estimate
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import GptsDataError, RecipeError
from tests.conftest import prose

N = 30
RECIPE = """
name = "odd"
tokens = 1024
window = 64
[[source]]
name = "s"
weight = 1
{keys}
[clean]
filters = []
[dedup]
minhash = false
[validation]
fraction = 0.0
"""
Row = dict[str, Any]


def texts() -> list[str]:
    rng = random.Random(3)
    return [prose(rng, 60) for _ in range(N)]


def lines(path: Path, rows: list[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def built(folder: Path, keys: str, tokenizer: Path) -> tuple[dict[str, Any], list[Row]]:
    """The counts of the source's documents, and the table of those in the mix."""
    (folder / "recipe.toml").write_text(RECIPE.format(keys=keys), encoding="utf-8")
    recipe = load_recipe(folder / "recipe.toml")
    made = build(recipe, folder, folder / "mix", tokenizer=tokenizer)
    counts: dict[str, Any] = made.manifest["waterfall"]["s"]
    table = [row for path in (folder / "mix/documents/s").glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    return counts, table


def of_reader(counts: dict[str, Any]) -> dict[str, int]:
    """Documents dropped, but for those that the budget has no room for."""
    return {reason: n for reason, n in counts["dropped"].items() if reason != "over_budget"}


FIELDS: dict[str, tuple[str, Callable[[int, str], Row], dict[str, int]]] = {
    "nested text": ('text = "meta.text"', lambda i, text: {"meta": {"text": text}}, {}),
    "ids of NaN": ('id = "id"', lambda i, text: {"text": text, "id": float("nan")}, {}),
    "first line without url": ('url = "url"', lambda i, text: {"text": text} | ({"url": f"u{i}"} if i else {}), {}),
    "a text left out": ('id = "id"', lambda i, text: {"id": i} | ({} if i == 7 else {"text": text}), {"null_text": 1}),
}


@pytest.mark.parametrize("name", FIELDS)
def test_lines_are_kept(name: str, mix: Mix, tmp_path: Path) -> None:
    key, row, dropped = FIELDS[name]
    lines(tmp_path / "a.jsonl", [row(i, text) for i, text in enumerate(texts())])
    counts, _ = built(tmp_path, f'files = "a.jsonl"\n{key}', mix.tokenizer)
    assert counts["read"] == N
    assert of_reader(counts) == dropped


def test_uuids_are_ids(mix: Mix, tmp_path: Path) -> None:
    ids = [uuid.UUID(int=i << 64 | 255) for i in range(N)]
    column = pa.array([value.bytes for value in ids], pa.binary(16))
    pq.write_table(pa.table({"text": texts(), "id": column}), tmp_path / "a.parquet")
    counts, table = built(tmp_path, 'files = "a.parquet"\nid = "id"', mix.tokenizer)
    assert counts["read"] == N
    assert of_reader(counts) == {}
    assert {row["id"] for row in table} <= set(map(str, ids))


def refused(function: Callable[[], object]) -> GptsDataError:
    with pytest.raises(GptsDataError) as caught:
        function()
    return caught.value


@pytest.mark.parametrize("second", ["b.jsonl", "b.parquet"])
def test_a_second_file_without_the_column_is_one_error_of_plan_and_build(second: str, mix: Mix, tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", [{"text": text, "url": f"u{i}"} for i, text in enumerate(texts())])
    if second == "b.jsonl":
        lines(tmp_path / second, [{"text": text} for text in texts()])
    else:
        pq.write_table(pa.table({"text": texts()}), tmp_path / second)
    (tmp_path / "recipe.toml").write_text(RECIPE.format(keys='files = "?.*"\nurl = "url"'), encoding="utf-8")
    recipe = load_recipe(tmp_path / "recipe.toml")
    of_plan = refused(lambda: estimate(recipe, tmp_path, tokenizer=mix.tokenizer))
    of_build = refused(lambda: build(recipe, tmp_path, tmp_path / "mix", tokenizer=mix.tokenizer))
    assert str(of_plan) == str(of_build) == f"source 's': no column 'url' in {second}; found text"
    assert type(of_plan) is type(of_build) is RecipeError

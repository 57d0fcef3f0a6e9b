"""P5: files that are intact but contradict each other or the recipe are found: a mix that was signed again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.validation.verify import verify
from tests.validation.test_verify import reseal


@pytest.fixture
def copy(mix: Mix, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mix.path, tmp_path / "mix"))


def problems_of(folder: Path) -> dict[str, str]:
    return {problem.file: problem.problem for problem in verify(folder)}


def test_two_windows_of_one_source_that_changed_places(copy: Path) -> None:
    """Sources, documents and digests are right; only the permutation says otherwise."""

    def change(manifest: dict[str, Any]) -> None:
        name = copy / "shards/train-00001.windows.npy"
        rows, windows = np.load(name), np.fromfile(copy / "shards/train-00001.bin", "<u2").reshape(100, 64)
        first, second = np.flatnonzero(rows["source"] == 0)[:2]
        rows[[first, second]], windows[[first, second]] = rows[[second, first]], windows[[second, first]]
        np.save(name, rows)
        windows.tofile(copy / "shards/train-00001.bin")

    reseal(copy, change)
    problem = "its windows are not in the order that the recipe's weights and seed give"
    assert problems_of(copy) == {"shards/train-00001.windows.npy": problem}


def test_a_table_that_does_not_follow_on_the_one_before(copy: Path) -> None:
    """Its documents follow one another, each five tokens late."""
    name = "documents/books/00001.parquet"

    def change(manifest: dict[str, Any]) -> None:
        table = pq.read_table(copy / name)
        starts = pa.array(table.column("start").to_numpy() + np.uint64(5))
        pq.write_table(table.set_column(table.schema.get_field_index("start"), "start", starts), copy / name)
        for entry in manifest["files"]:
            if entry["file"] == name:
                entry["start"], entry["bytes"] = entry["start"] + 5, (copy / name).stat().st_size

    reseal(copy, change)
    assert list(problems_of(copy)) == [name]
    assert "do not follow one another from token" in problems_of(copy)[name]


@pytest.mark.parametrize(("source", "name"), [("web", "documents/web"), ("books", "validation/books.parquet")])
def test_tables_that_do_not_reach_the_last_window(copy: Path, source: str, name: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        entry = manifest["sources"][source]
        (entry if name.startswith("documents") else entry["validation"])["leftover_tokens"] += 1

    reseal(copy, change)
    assert list(problems_of(copy)) == [name] and "documents with" in problems_of(copy)[name]


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_highest_id_that_is_not_the_shards(copy: Path, difference: int) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["shards"][2]["highest_id"] += difference

    highest = open_mix(copy).manifest["shards"][2]["highest_id"]
    reseal(copy, change)
    expected = f"highest id {highest:,}, expected {highest + difference:,}"
    assert problems_of(copy) == {"shards/train-00002.bin": expected}


def test_the_highest_id_may_be_the_last_of_the_vocabulary(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        shard = np.fromfile(copy / "shards/train-00000.bin", "<u2")
        shard[17] = manifest["tokenizer"]["vocab_size"] - 1
        shard.tofile(copy / "shards/train-00000.bin")
        manifest["shards"][0]["highest_id"] = int(shard.max())

    reseal(copy, change)
    assert verify(copy) == []


def test_more_contaminated_documents_than_the_benchmarks_account_for(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["waterfall"]["notes"]["read"] += 1
        manifest["waterfall"]["notes"]["dropped"]["contaminated"] = 1

    reseal(copy, change)
    assert "notes: 1 documents dropped as contaminated, but 0 by benchmark" in [p.problem for p in verify(copy)]

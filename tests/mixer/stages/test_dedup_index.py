"""The index on disk finds all keys that documents share, for any size of its runs and ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpts_data.mixer.stages import dedup_index as indexing
from gpts_data.mixer.stages.dedup_index import index, ranges, run_writer, search
from gpts_data.pipelines.dedup.greedy import SharedKeys, find_shared_keys
from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.execute import InProcess

COLUMNS = 3
KEY = st.sampled_from([0, 1, 2, 3, 1 << 32, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
ROWS = st.lists(st.lists(KEY, min_size=COLUMNS, max_size=COLUMNS), max_size=7)


def write(folder: Path, units: list[NDArray[np.uint64]], batch: int = 2) -> tuple[list[Path], int]:
    """Write the runs of these units, `batch` documents at a time; returns their paths and the number of keys."""
    runs, n_keys = [], 0
    for number, keys in enumerate(units):
        runs.append(folder / f"{number}.keys.arrow")
        with run_writer(runs[-1], str(number)) as run:
            for start in range(0, len(keys), batch):
                run.add(keys[start : start + batch])
        n_keys += run.n_keys
    return runs, n_keys


def shared_of(folder: Path, runs: list[Path], n_keys: int) -> list[SharedKeys]:
    with index(runs, n_keys, folder / "index", folder / "scratch", InProcess()) as shared_keys:
        return [shared_keys.of(number) for number in range(len(runs))]


def shared_by_counting(units: list[NDArray[np.uint64]]) -> list[list[tuple[int, int]]]:
    """Per unit the places of keys that occur more than once, with the key, found by counting."""
    all_keys = [key for keys in units for key in keys.ravel().tolist()]
    shared = {key for key in all_keys if key and all_keys.count(key) > 1}
    return [[(place, key) for place, key in enumerate(keys.ravel().tolist()) if key in shared] for keys in units]


@given(rows=st.lists(ROWS, min_size=1, max_size=4), range_keys=st.integers(1, 20), run_keys=st.integers(1, 12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_runs_and_ranges_do_not_matter(
    rows: list[list[list[int]]], range_keys: int, run_keys: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("index")
    units = [np.array(unit, np.uint64).reshape(-1, COLUMNS) for unit in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(indexing, "RANGE_KEYS", range_keys)
        patch.setattr(indexing, "RUN_KEYS", run_keys)
        found = shared_of(folder, *write(folder, units))
    key_of: dict[int, int] = {}
    for shared, expected in zip(found, shared_by_counting(units), strict=True):
        assert shared.places.tolist() == [place for place, _ in expected]
        for group, (_, key) in zip(shared.groups.tolist(), expected, strict=True):
            assert key_of.setdefault(group, key) == key
            assert group < shared.n_groups
    assert len(set(key_of.values())) == len(key_of) == (found[0].n_groups if found else 0)


def test_a_range_is_searched_once_and_the_index_removes_its_files(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 50, (40, COLUMNS), dtype=np.uint64)
    runs, n_keys = write(tmp_path, [keys[:20], keys[20:]])
    task = ranges(runs, n_keys, tmp_path / "index")[0]
    assert search(task) == search(task)
    assert search(task)["places"] == len(find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64)).places)
    with index(runs, n_keys, tmp_path / "index", tmp_path / "scratch", InProcess()) as shared_keys:
        assert shared_keys.of(0).n_groups == shared_keys.of(1).n_groups > 0
    assert not (tmp_path / "index").exists()


def test_a_receipt_without_its_file_is_searched_again(tmp_path: Path) -> None:
    """A build that is killed while it removes the index can leave this."""
    runs, n_keys = write(tmp_path, [np.full((3, COLUMNS), 7, np.uint64)])
    task = ranges(runs, n_keys, tmp_path / "index")[0]
    first = search(task)
    task.path.unlink()
    assert search(task) == first
    with index(runs, n_keys, tmp_path / "index", tmp_path / "scratch", InProcess()) as shared_keys:
        assert len(shared_keys.of(0).places) == 9


def test_ranges_adjoin_and_cover_all_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(indexing, "RANGE_KEYS", 1000)
    tasks = ranges([tmp_path / "a"], 4001, tmp_path)
    assert len(tasks) == 5
    assert [task.stop for task in tasks[:-1]] == [task.start for task in tasks[1:]]
    assert tasks[0].start == 0 and tasks[-1].stop is None
    assert len({task.path for task in tasks}) == 5


def test_a_unit_of_too_many_keys_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(indexing, "MAX_PLACES", 10 * COLUMNS)
    monkeypatch.setattr(indexing, "RUN_KEYS", 1)
    keys = np.ones((5, COLUMNS), np.uint64)
    with run_writer(tmp_path / "a.keys.arrow", "unit a") as run:
        for _ in range(2):
            run.add(keys)
    assert run.n_keys == 10 * COLUMNS
    with pytest.raises(DataError, match="unit a: found 15 documents or more in one unit, expected at most 10 with 3 "):  # noqa: SIM117
        with run_writer(tmp_path / "b.keys.arrow", "unit a") as run:
            for _ in range(3):
                run.add(keys)
    assert [path.name for path in tmp_path.iterdir()] == ["a.keys.arrow"]


def test_groups_above_32_bits_stay_apart(tmp_path: Path) -> None:
    shared_keys = indexing.Index([], tmp_path)
    shared_keys._places = [np.array([5], np.uint64), np.array([7], np.uint64)]
    shared_keys._groups = [np.array([3], np.uint32), np.array([3], np.uint32)]
    shared_keys._first, shared_keys.n_groups = np.array([0, 1 << 32, (1 << 32) + 4]), (1 << 32) + 4
    assert shared_keys.of(0).groups.tolist() == [3, (1 << 32) + 3]

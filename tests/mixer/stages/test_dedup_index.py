"""The index on disk finds what documents share, however it is cut into runs and ranges."""

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
from gpts_data.pipelines.execute import InProcess

COLUMNS = 3
KEY = st.sampled_from([0, 1, 2, 3, 1 << 32, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
ROWS = st.lists(st.lists(KEY, min_size=COLUMNS, max_size=COLUMNS), max_size=7)


def write(folder: Path, units: list[NDArray[np.uint64]], batch: int = 2) -> tuple[list[Path], int]:
    """The runs of these units, whose keys come in batches of so many documents; and the number of keys."""
    runs, n_keys = [], 0
    for number, keys in enumerate(units):
        runs.append(folder / f"{number}.keys.arrow")
        with run_writer(runs[-1]) as run:
            for start in range(0, len(keys), batch):
                run.add(keys[start : start + batch])
        n_keys += run.n_keys
    return runs, n_keys


def shared_of(folder: Path, runs: list[Path], n_keys: int) -> list[SharedKeys]:
    with index(runs, n_keys, folder / "index", InProcess()) as found:
        return [found.of(number) for number in range(len(runs))]


def plainly(units: list[NDArray[np.uint64]]) -> list[list[tuple[int, int]]]:
    """Per unit the places whose key occurs elsewhere too, with the key."""
    every = [key for keys in units for key in keys.ravel().tolist()]
    twice = {key for key in every if key and every.count(key) > 1}
    return [[(place, key) for place, key in enumerate(keys.ravel().tolist()) if key in twice] for keys in units]


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
    for shared, expected in zip(found, plainly(units), strict=True):
        assert shared.places.tolist() == [place for place, _ in expected]
        for group, (_, key) in zip(shared.groups.tolist(), expected, strict=True):
            assert key_of.setdefault(group, key) == key
            assert group < shared.n_groups
    assert len(set(key_of.values())) == len(key_of) == (found[0].n_groups if found else 0)


def test_a_search_is_done_once_and_its_files_are_gone_behind_it(tmp_path: Path) -> None:
    keys = np.random.default_rng(1).integers(0, 50, (40, COLUMNS), dtype=np.uint64)
    runs, n_keys = write(tmp_path, [keys[:20], keys[20:]])
    task = ranges(runs, n_keys, tmp_path / "index")[0]
    assert search(task) == search(task)
    assert search(task)["places"] == len(find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64)).places)
    with index(runs, n_keys, tmp_path / "index", InProcess()) as found:
        assert found.of(0).n_groups == found.of(1).n_groups > 0
    assert not (tmp_path / "index").exists()


def test_a_receipt_without_its_file_is_not_believed(tmp_path: Path) -> None:
    """What a kill leaves while the index is removed."""
    runs, n_keys = write(tmp_path, [np.full((3, COLUMNS), 7, np.uint64)])
    task = ranges(runs, n_keys, tmp_path / "index")[0]
    first = search(task)
    task.path.unlink()
    assert search(task) == first
    with index(runs, n_keys, tmp_path / "index", InProcess()) as found:
        assert len(found.of(0).places) == 9


def test_ranges_hold_what_was_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(indexing, "RANGE_KEYS", 1000)
    tasks = ranges([tmp_path / "a"], 4001, tmp_path)
    assert len(tasks) == 5
    assert [task.stop for task in tasks[:-1]] == [task.start for task in tasks[1:]]
    assert tasks[0].start == 0 and tasks[-1].stop is None
    assert len({task.path for task in tasks}) == 5

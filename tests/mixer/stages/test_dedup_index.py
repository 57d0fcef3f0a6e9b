"""The index on disk finds all keys that documents share, for any size of its runs and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpts_data.mixer.stages import dedup_index as indexing
from gpts_data.mixer.stages import dedup_search
from gpts_data.mixer.stages.dedup_index import index, run_writer
from gpts_data.mixer.stages.dedup_search import FoundKeys, search_runs
from gpts_data.pipelines.dedup.greedy import DedupState, SharedKeys, find_shared_keys
from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.execute import InProcess

COLUMNS = 3
KEY = st.sampled_from([0, 1, 2, 3, 1 << 32, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
ROWS = st.lists(st.lists(KEY, min_size=COLUMNS, max_size=COLUMNS), max_size=7)


def write(folder: Path, units: list[NDArray[np.uint64]], batch: int = 2) -> tuple[list[Path], list[int]]:
    """Write the runs of these units, `batch` documents at a time; returns their paths and their numbers of keys."""
    runs, n_keys = [], []
    for number, keys in enumerate(units):
        runs.append(folder / f"{number}.keys.arrow")
        with run_writer(runs[-1], str(number)) as run:
            for start in range(0, len(keys), batch):
                run.add(keys[start : start + batch])
        n_keys.append(run.n_keys)
    return runs, n_keys


def shared_of(folder: Path, runs: list[Path], n_keys: list[int]) -> list[SharedKeys]:
    with index(runs, n_keys, folder / "index", folder / "scratch", InProcess()) as shared_keys:
        return [shared_keys.of(number) for number in range(len(runs))]


def shared_by_counting(units: list[NDArray[np.uint64]]) -> list[list[tuple[int, int]]]:
    """Per unit the places of keys that occur more than once, with the key, found by counting."""
    all_keys = [key for keys in units for key in keys.ravel().tolist()]
    shared = {key for key in all_keys if key and all_keys.count(key) > 1}
    return [[(place, key) for place, key in enumerate(keys.ravel().tolist()) if key in shared] for keys in units]


@given(
    rows=st.lists(ROWS, min_size=1, max_size=4),
    range_keys=st.integers(1, 20),
    run_keys=st.integers(1, 12),
    at_once=st.integers(1, 20),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_runs_and_ranges_do_not_matter(
    rows: list[list[list[int]]], range_keys: int, run_keys: int, at_once: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("index")
    units = [np.array(unit, np.uint64).reshape(-1, COLUMNS) for unit in rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup_search, "RANGE_KEYS", range_keys)
        patch.setattr(indexing, "PLACES_AT_ONCE", at_once)
        patch.setattr(indexing, "RUN_KEYS", run_keys)
        runs, n_keys = write(folder, units)
        found = shared_of(folder, runs, n_keys)
    key_of: dict[int, int] = {}
    for shared, expected in zip(found, shared_by_counting(units), strict=True):
        assert shared.places.tolist() == [place for place, _ in expected]
        for group, (_, key) in zip(shared.groups.tolist(), expected, strict=True):
            assert key_of.setdefault(group, key) == key
            assert group < shared.n_groups
    assert len(set(key_of.values())) == len(key_of) == (found[0].n_groups if found else 0)


@pytest.mark.parametrize("range_keys", [1000, 50])
def test_a_search_runs_once_and_the_index_removes_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, range_keys: int
) -> None:
    monkeypatch.setattr(dedup_search, "RANGE_KEYS", range_keys)
    keys = np.random.default_rng(1).integers(0, 2**64, (40, COLUMNS), dtype=np.uint64)
    keys[30:] = keys[:10]
    runs, n_keys = write(tmp_path, [keys[:20], keys[20:]])
    found = search_runs(runs, n_keys, tmp_path / "index", InProcess())
    with monkeypatch.context() as patch:
        patch.setattr(dedup_search, "atomic_write", lambda _: pytest.fail("written again"))
        assert search_runs(runs, n_keys, tmp_path / "index", InProcess()) == found
    assert len(found.paths) == -(-120 // range_keys)
    expected = find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64))
    assert sum(receipt["places"] for receipt in found.receipts) == len(expected.places) == 60
    with index(runs, n_keys, tmp_path / "index", tmp_path / "scratch", InProcess()) as shared_keys:
        assert shared_keys.of(0).n_groups == shared_keys.of(1).n_groups == 30
    assert not (tmp_path / "index").exists()


def test_receipts_without_their_files_are_searched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A build that is killed while it removes the index can leave these, which is no damage."""
    monkeypatch.setattr(dedup_search, "RANGE_KEYS", 4)
    runs, n_keys = write(tmp_path, [np.full((3, COLUMNS), 7, np.uint64)])
    first = search_runs(runs, n_keys, tmp_path / "index", InProcess())
    for path in [*tmp_path.rglob("*.keys"), *first.paths]:
        path.unlink()
    assert search_runs(runs, n_keys, tmp_path / "index", InProcess()) == first
    with index(runs, n_keys, tmp_path / "index", tmp_path / "scratch", InProcess()) as shared_keys:
        assert len(shared_keys.of(0).places) == 9
    assert caplog.text == ""


def test_each_range_reads_its_own_records_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions are written once for all ranges, and the ranges together read each record once."""
    monkeypatch.setattr(dedup_search, "RANGE_KEYS", 100)
    keys = np.random.default_rng(1).integers(1, 2**64, (200, COLUMNS), dtype=np.uint64)
    runs, n_keys = write(tmp_path, [keys[start : start + 20] for start in range(0, 200, 20)])
    lengths: list[int] = []
    read = dedup_search.read_records

    def counted(*arguments: Any) -> NDArray[Any]:
        records = read(*arguments)
        lengths.append(len(records))
        return records

    monkeypatch.setattr(dedup_search, "read_records", counted)
    search_runs(runs, n_keys, tmp_path / "index", InProcess())
    assert sum(lengths) == keys.size and len(lengths) <= 6 * 10  # ranges * partitions


def test_ranges_cover_all_keys_in_their_order() -> None:
    keys = np.array([0, 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1], np.uint64)
    assert dedup_search.range_of(keys, 1).tolist() == [0] * 6
    assert dedup_search.range_of(keys, 2).tolist() == [0, 0, 0, 0, 1, 1]
    assert dedup_search.range_of(keys, 4400).tolist() == [0, 0, 0, 2199, 2200, 4399]
    assert dedup_search.range_of(keys, 1 << 20).max() == (1 << 20) - 1


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
    shared_keys = indexing.Index(FoundKeys([], []), 1, tmp_path)
    shared_keys._places = [np.array([5], np.uint64), np.array([7], np.uint64)]
    shared_keys._groups = [np.array([3], np.uint32), np.array([3], np.uint32)]
    shared_keys._firsts = shared_keys._places
    shared_keys._first, shared_keys.n_groups = np.array([0, 1 << 32, (1 << 32) + 4]), (1 << 32) + 4
    assert shared_keys.of(0).groups.tolist() == [3, (1 << 32) + 3]


def test_what_the_walk_notes_for_many_keys_is_in_a_file_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "MAX_IN_MEMORY", 10)
    monkeypatch.setattr(indexing, "PLACES_AT_ONCE", 7)
    keys = np.random.default_rng(1).integers(0, 40, (60, COLUMNS), dtype=np.uint64)
    shared = find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64))
    on_disk = indexing.zeros(shared.n_groups, tmp_path / "scratch")
    assert isinstance(on_disk.base, np.memmap) and on_disk.shape == (shared.n_groups,) and not on_disk.any()
    no, tokens = np.zeros(60, np.bool_), np.ones(60, np.uint32)
    states = DedupState(shared.n_groups, COLUMNS, on_disk), DedupState(shared.n_groups, COLUMNS)
    first, second = (state.decide(shared, tokens, no, no, 100) for state in states)
    assert first.codes.tolist() == second.codes.tolist() and len(set(first.codes.tolist())) > 1
    assert first.duplicate_of.tolist() == second.duplicate_of.tolist()
    assert on_disk.any() and not list((tmp_path / "scratch").iterdir())

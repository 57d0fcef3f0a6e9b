"""Find the keys that several documents share: PARTITION the keys by ranges of values, then SEARCH each range.

PARTITION reads a few runs, as many as fit in memory, and writes their keys in the order of the ranges, a section for
each 4 million. SEARCH reads its piece of every section. So each key is read and written once, whatever the number of
ranges: without partitions, each of the 110 ranges of 25B tokens would open all 1,540 runs.

If all keys fit in one range there is no partition: SEARCH reads the runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.stages.shuffle import Bounds, read_records
from gpts_data.mixer.stages.unit_file import whole_arrow_file
from gpts_data.pipelines.dedup.greedy import find_shared_keys
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.storage.atomic_files import atomic_write, json_digest, write_json
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, as_path, read_all, read_bytes
from gpts_data.pipelines.storage.receipts import Receipt, accepted_receipt, write_receipt

RANGE_KEYS = 4_000_000  # keys in a range or a section: 32 bytes each while they are sorted, 130 MB per worker
KEYS = np.dtype([("key", "<u8"), ("place", "<u8")])  # a record of a partition
FOUND = pa.schema([("place", pa.uint64()), ("group", pa.uint32())])
"""The columns of a search's file: the places of shared keys, in order, and their numbers."""
UNIT = np.uint64(32)  # a place among all units has the number of the unit in the bits from UNIT on
BLOCK = 1 << 18  # keys that are copied at once
_HALF = np.uint64(32)

Task = TypeVar("Task")


class PartitionReceipt(TypedDict):
    """Receipt of a partition of some runs."""

    key: str
    sections: list[list[int]]
    """For each section the record of the file with which each range begins, then the one with which the last ends."""
    file: Checksum


class KeyRangeReceipt(TypedDict):
    """Receipt of the search of one range of keys."""

    key: str
    groups: int
    """Number of distinct keys that several documents have."""
    places: int
    """Number of places where these keys occur."""
    file: Checksum


@dataclass(frozen=True)
class Partition:
    """One task: the keys of the runs `first` to `last`, in sections, each in the order of the ranges.

    `runs` is a file with the paths of all runs: 60,000 paths in each of 4,000 tasks would be 20 GB to send to workers.
    """

    runs: AnyPath
    first: int
    last: int
    ranges: int
    """Number of ranges."""
    path: AnyPath
    key: str

    def accepts(self, receipt: PartitionReceipt) -> bool:
        """Return whether the file of an earlier run is as it was written."""
        return _is_intact(self.path, receipt["file"])


@dataclass(frozen=True)
class KeyRange:
    """One task: find the keys of a range that several documents have."""

    number: int
    bounds: Bounds | None
    """Its parts are the ranges, its files the sections; the label of a section is the number of its partition. None if
    there is one range only, whose keys are those of all runs."""
    runs: AnyPath
    path: AnyPath
    key: str

    def accepts(self, receipt: KeyRangeReceipt) -> bool:
        """Return whether the file of an earlier run is as it was written."""
        return _is_intact(self.path, receipt["file"])


@dataclass(frozen=True)
class FoundKeys:
    """The result of a search: the file of each range (FOUND) and its receipt, in the order of the ranges."""

    paths: Sequence[AnyPath]
    receipts: Sequence[KeyRangeReceipt]


def search_runs(runs: Sequence[AnyPath], n_keys: Sequence[int], folder: AnyPath, engine: Engine) -> FoundKeys:
    """Find the keys that several documents share. n_keys: the number of keys of each run."""
    n_ranges = -(-sum(n_keys) // RANGE_KEYS) or 1
    key = json_digest([n_ranges, [run.name for run in runs]])
    folder = folder / key[:16]
    listing = write_listing(folder, "runs", runs)
    bounds = None
    if n_ranges > 1:
        partitions = partition_tasks(listing, n_keys, n_ranges, folder, key)
        bounds = _write_bounds(folder, partitions, _run(engine, partition, partitions))
    tasks = [
        KeyRange(n, bounds, listing, folder / f"{n:05d}.arrow", json_digest([key, n, "range"])) for n in range(n_ranges)
    ]
    return FoundKeys([task.path for task in tasks], _run(engine, search, tasks))


def write_listing(folder: AnyPath, name: str, paths: Sequence[AnyPath]) -> AnyPath:
    """Write a file of paths, which tasks carry instead of the paths themselves, and return its own path."""
    texts = [str(path) for path in paths]
    listing = folder / f"{name}-{json_digest(texts)[:16]}.json"
    write_json(listing, texts)
    return listing


def read_listing(listing: AnyPath) -> list[str]:
    """The paths of `write_listing` as texts; a task makes paths of those that it needs."""
    texts: list[str] = json.loads(read_bytes(listing))
    return texts


def _run(engine: Engine, function: Callable[[Any], Receipt], tasks: Sequence[Any]) -> list[Receipt]:
    """The receipts of the tasks, in their order."""
    receipts = {receipt["key"]: receipt for receipt in engine.map(function, tasks)}
    return [receipts[task.key] for task in tasks]


def partition_tasks(
    listing: AnyPath, n_keys: Sequence[int], n_ranges: int, folder: AnyPath, key: str
) -> list[Partition]:
    """The tasks that partition all runs, each with runs of RANGE_KEYS keys together, or with one that has more."""
    firsts, held = [0], 0
    for number, count in enumerate(n_keys):
        if held and held + count > RANGE_KEYS:
            firsts.append(number)
            held = 0
        held += count
    return [
        Partition(listing, first, last, n_ranges, folder / f"{n:05d}.keys", json_digest([key, n, "partition"]))
        for n, (first, last) in enumerate(zip(firsts, [*firsts[1:], len(n_keys)], strict=True))
    ]


def _write_bounds(folder: AnyPath, tasks: Sequence[Partition], receipts: Sequence[PartitionReceipt]) -> Bounds:
    labels = [n for n, receipt in enumerate(receipts) for _ in receipt["sections"]]
    starts = np.array([section for receipt in receipts for section in receipt["sections"]], np.int64)
    bounds = Bounds(folder / "bounds", len(labels))
    bounds.write(labels, starts.reshape(len(labels), -1))
    return bounds


def partition(task: Partition) -> PartitionReceipt:
    """Write the keys of some runs in the order of the ranges, section by section, then the receipt."""
    path = task.path.with_suffix(".partition.json")
    if receipt := accepted_receipt(path, task.key, PartitionReceipt, task.accepts):
        return receipt
    sections, done = list[list[int]](), 0
    with atomic_write(task.path) as file:
        for keys, places in _in_sections(_read_runs(task.runs, task.first, task.last)):
            numbers = range_of(keys, task.ranges)
            order = np.argsort(numbers, kind="stable")
            for start in range(0, len(order), BLOCK):
                block = order[start : start + BLOCK]
                records = np.empty(len(block), KEYS)
                records["key"], records["place"] = keys[block], places[block]
                file.write(records.data)
            counts = np.bincount(numbers, minlength=task.ranges)
            sections.append([done, *(done + np.cumsum(counts)).tolist()])
            done += len(keys)
        checksum = checksum_so_far(file)
    return write_receipt(path, PartitionReceipt(key=task.key, sections=sections, file=checksum))


def range_of(keys: NDArray[np.uint64], ranges: int) -> NDArray[np.unsignedinteger]:
    """The number of the range of each key. Keys are hashes, so ranges of equal width have equally many."""
    dtype = np.dtype(np.uint16 if ranges <= 1 << 16 else np.uint32)  # 16 bits are sorted in linear time
    numbers: NDArray[np.unsignedinteger] = np.empty(len(keys), dtype)
    for start in range(0, len(keys), BLOCK):
        numbers[start : start + BLOCK] = ((keys[start : start + BLOCK] >> _HALF) * np.uint64(ranges)) >> _HALF
    return numbers


def search(task: KeyRange) -> KeyRangeReceipt:
    """Write the places of all shared keys in this range, in order of place, then the receipt."""
    path = task.path.with_suffix(".json")
    if receipt := accepted_receipt(path, task.key, KeyRangeReceipt, task.accepts):
        return receipt
    shared = find_shared_keys(*_gather(task))
    with atomic_write(task.path) as file:
        with pa.ipc.new_file(file, FOUND) as writer:
            columns = [pa.array(shared.places), pa.array(shared.groups, pa.uint32())]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=FOUND))
        checksum = checksum_so_far(file)
    result: KeyRangeReceipt = {
        "key": task.key,
        "groups": shared.n_groups,
        "places": len(shared.places),
        "file": checksum,
    }
    return write_receipt(path, result)


def _is_intact(path: AnyPath, checksum: Checksum) -> bool:
    """Return whether a file is as it was written. A build that is killed while it removes the index may leave receipts
    only, which is no damage."""
    return path.exists() and all_intact("index of duplicates", {path: checksum})


def _gather(task: KeyRange) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The keys of the range, and their places among all units: uint64 both."""
    if task.bounds is None:
        pieces = [(np.empty(0, np.uint64), np.empty(0, np.uint64)), *_read_runs(task.runs, 0, None)]
        keys, places = (np.concatenate(column) for column in zip(*pieces, strict=True))
        return keys, places
    labels, starts, stops = task.bounds.read(task.number)
    folder = task.path.parent

    def read(section: int) -> NDArray[Any]:
        return read_records(folder / f"{labels[section]:05d}.keys", KEYS, int(starts[section]), int(stops[section]))

    ends = np.cumsum(stops - starts)
    keys, places = np.empty(ends[-1], np.uint64), np.empty(ends[-1], np.uint64)
    used = np.flatnonzero(stops > starts).tolist()
    for section, records in zip(used, read_all(read, used, folder), strict=True):
        start, stop = ends[section] - len(records), ends[section]
        keys[start:stop], places[start:stop] = records["key"], records["place"]
    return keys, places


def _read_runs(
    listing: AnyPath, first: int, last: int | None
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """The keys and places of the runs `first` to `last` (None: all after it), batch by batch."""
    runs = [as_path(run) for run in read_listing(listing)[first:last]]
    for number, batches in enumerate(read_all(whole_arrow_file, runs, listing), first):
        for batch in batches:
            places = batch.column("place").to_numpy().astype(np.uint64) + (np.uint64(number) << UNIT)
            yield batch.column("key").to_numpy(), places


def _in_sections(
    batches: Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]],
) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]]:
    """The keys and places of some batches, RANGE_KEYS at a time, in arrays that the next ones overwrite; at least one
    section."""
    keys, places, held = np.empty(RANGE_KEYS, np.uint64), np.empty(RANGE_KEYS, np.uint64), 0
    for batch_keys, batch_places in batches:
        done = 0
        while done < len(batch_keys):
            if held == RANGE_KEYS:
                yield keys, places
                held = 0
            count = min(len(batch_keys) - done, RANGE_KEYS - held)
            keys[held : held + count] = batch_keys[done : done + count]
            places[held : held + count] = batch_places[done : done + count]
            held, done = held + count, done + count
    yield keys[:held], places[:held]

"""The index of dedup: which keys do several documents share? On disk, so that memory does not limit the documents.

PREPARE writes the keys of each unit once, sorted, as a run: an Arrow file with the columns `key` (uint64) and
`place` (uint32: row * number of key columns + column). Batch i has the keys whose upper 6 bits are i modulo SLICES, so
a worker reads only the batches it needs. A later round or a larger mix adds runs and rewrites none.

The runs are then searched for shared keys in ranges of key values, each small enough for memory. A range is one task.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.dedup.greedy import SharedKeys, find_shared_keys
from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.storage.atomic_files import atomic_write, json_digest, write_json
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, as_path, is_store, local_copy, open_arrow, remove
from gpts_data.pipelines.storage.receipts import read_receipt, require_receipt, write_receipt

RANGE_KEYS = 4_000_000  # keys in a range, over all runs: 32 bytes each while they are sorted, 130 MB per worker
RUN_KEYS = 1_000_000  # keys sorted at once; a unit with more has several sorted parts in its run
SLICES, SLICE = 64, np.uint64(58)  # number of slices of key values; a key's slice is its bits from SLICE on
RUN = pa.schema([("key", pa.uint64()), ("place", pa.uint32())])
FOUND = pa.schema([("place", pa.uint64()), ("group", pa.uint32())])
MAX_PLACES = 2**32  # of keys in a unit
UNIT = np.uint64(32)  # a place among all units has the number of the unit in the bits from UNIT on


class KeyRangeReceipt(TypedDict):
    """Receipt of the search of one range of keys."""

    key: str
    groups: int
    """Number of distinct keys that several documents have."""
    places: int
    """Number of places where these keys occur."""
    file: Checksum


@dataclass(frozen=True)
class KeyRange:
    """One task: find the keys from `start` to `stop` (None: to the last) that several documents have.

    `runs` is a file with the paths of all runs: 3,000 paths in each of 190 tasks would be 50 MB to send to workers.
    """

    runs: AnyPath
    start: int
    stop: int | None
    path: AnyPath
    key: str

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")


class RunWriter:
    """Writes the run of a unit: takes its keys batch by batch and sorts them."""

    def __init__(self, writer: Any, name: str) -> None:
        self._writer, self._name = writer, name
        self._keys: list[NDArray[np.uint64]] = []
        self._held = self._rows = 0
        self.n_keys = 0
        self.checksum: Checksum = {"bytes": 0, "xxh3": ""}
        """Of the file, set once it is complete."""

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Add the keys of the next documents: uint64, shape (documents, keys); 0 where a document has no key."""
        self._keys.append(keys)
        self._held += keys.size
        if self._held >= RUN_KEYS:
            self.flush()

    def flush(self) -> None:
        """Sort and write the keys added so far."""
        if not self._keys:
            return
        keys = np.concatenate(self._keys)
        self._rows += len(keys)
        if self._rows * keys.shape[1] > MAX_PLACES:
            raise DataError(
                f"{self._name}: found {self._rows:,} documents or more in one unit, expected at most "
                f"{MAX_PLACES // keys.shape[1]:,} with {keys.shape[1]:,} keys each; split its file, or use fewer "
                "dedup.minhash.buckets"
            )
        flat, first = keys.ravel(), (self._rows - len(keys)) * keys.shape[1]
        place = np.flatnonzero(flat)
        place = place[np.argsort(flat[place], kind="stable")]
        ordered, place = flat[place], (first + place).astype(np.uint32)
        bounds = [*np.searchsorted(ordered, np.arange(SLICES, dtype=np.uint64) << SLICE).tolist(), len(ordered)]
        for start, stop in pairwise(bounds):
            columns = [pa.array(ordered[start:stop]), pa.array(place[start:stop])]
            self._writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=RUN))
        self.n_keys += len(place)
        self._keys, self._held = [], 0


@contextmanager
def run_writer(path: AnyPath, name: str) -> Iterator[RunWriter]:
    """Write the run of a unit to `path`; the file appears when the block ends. `name`: of the unit, for messages."""
    with atomic_write(path) as file:
        with pa.ipc.new_file(file, RUN) as writer:
            run = RunWriter(writer, name)
            yield run
            run.flush()
        run.checksum = checksum_so_far(file)


def ranges(runs: Sequence[AnyPath], n_keys: int, folder: AnyPath) -> list[KeyRange]:
    """The tasks for these runs, which have `n_keys` keys in all. Keys are hashes, so equal ranges have equally many."""
    count = -(-n_keys // RANGE_KEYS) or 1
    bounds = [2**64 * i // count for i in range(count)]
    key = json_digest([count, *(run.name for run in runs)])
    names = [str(run) for run in runs]
    listing = folder / key[:16] / f"runs-{json_digest(names)[:16]}.json"
    write_json(listing, names)
    return [
        KeyRange(listing, start, stop, folder / key[:16] / f"{i:05d}.arrow", key)
        for i, (start, stop) in enumerate(zip(bounds, [*bounds[1:], None], strict=True))
    ]


def search(task: KeyRange) -> KeyRangeReceipt:
    """Write the places of all shared keys in this range, in order of place, then the receipt."""
    receipt = read_receipt(task.receipt, task.key, KeyRangeReceipt)
    # a build that is killed while it removes the index may leave the receipt only
    if receipt and task.path.exists() and all_intact("index of duplicates", {task.path: receipt["file"]}):
        return receipt
    task.receipt.unlink(missing_ok=True)
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
    return write_receipt(task.receipt, result)


def _gather(task: KeyRange) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The keys of the range, and their places among all units: uint64 both."""
    keys, places = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for number, run in enumerate(json.loads(task.runs.read_bytes())):
        for run_keys, run_places in _slices(as_path(run), task.start, task.stop):
            keys.append(run_keys)
            places.append(run_places.astype(np.uint64) + (np.uint64(number) << UNIT))
    return np.concatenate(keys), np.concatenate(places)


def _slices(run: AnyPath, start: int, stop: int | None) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.uint32]]]:
    """The keys of a run in a range, and their places. Batches of other slices are not read."""
    first, last = start >> int(SLICE), (2**64 - 1 if stop is None else stop - 1) >> int(SLICE)
    with open_arrow(run) as file, pa.ipc.open_file(file) as reader:
        for i in range(reader.num_record_batches):
            if not first <= i % SLICES <= last:
                continue
            batch = reader.get_batch(i)
            keys = batch.column("key").to_numpy()
            low = int(np.searchsorted(keys, np.uint64(start)))
            high = len(keys) if stop is None else int(np.searchsorted(keys, np.uint64(stop)))
            yield keys[low:high].copy(), batch.column("place").to_numpy()[low:high]


class Index:
    """The shared keys of all ranges; `of` returns them for one unit."""

    def __init__(self, tasks: Sequence[KeyRange], scratch: Path) -> None:
        receipts = [require_receipt(task.receipt, task.key, KeyRangeReceipt) for task in tasks]
        batches = [_mapped(local_copy(task.path, scratch)) for task in tasks]
        self._places = [batch.column("place").to_numpy() for batch in batches]
        self._groups = [batch.column("group").to_numpy() for batch in batches]
        self._first = np.cumsum([0, *(receipt["groups"] for receipt in receipts)])
        self.n_groups = int(self._first[-1])

    def of(self, number: int) -> SharedKeys:
        """The keys that documents of unit `number` share with other documents; places within the unit."""
        bounds = np.array([number, number + 1], dtype=np.uint64) << UNIT
        places, groups = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for range_places, range_groups, first in zip(self._places, self._groups, self._first, strict=False):
            start, stop = np.searchsorted(range_places, bounds)
            places.append(range_places[start:stop] - bounds[0])
            groups.append(range_groups[start:stop] + np.int64(first))
        place = np.concatenate(places)
        order = np.argsort(place)
        return SharedKeys(place[order], np.concatenate(groups)[order], self.n_groups)


def _mapped(path: AnyPath) -> pa.RecordBatch:
    """The only batch of a file. It stays mapped when the file is closed, so ranges do not use up file descriptors."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        return reader.get_batch(0)


@contextmanager
def index(runs: Sequence[AnyPath], n_keys: int, folder: AnyPath, scratch: Path, engine: Engine) -> Iterator[Index]:
    """Search these runs, in canonical order, for shared keys.

    folder: where the index is written. scratch: folder on this machine for copies of the index, if `folder` is in a
    store. Both are removed afterwards.
    """
    tasks = ranges(runs, n_keys, folder)
    for _ in engine.map(search, tasks):
        pass
    if is_store(folder):
        scratch.mkdir(parents=True, exist_ok=True)
    yield Index(tasks, scratch)
    remove(folder)
    remove(scratch)

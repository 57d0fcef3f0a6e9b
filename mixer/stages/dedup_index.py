"""The index of dedup: which keys do several documents share? On disk, so that memory does not limit the documents.

PREPARE writes the keys of each unit once, sorted, as a run: an Arrow file with the columns `key` (uint64) and
`place` (uint32: row * number of key columns + column). Batch i has the keys whose upper 6 bits are i modulo SLICES. A
later round or a larger mix adds runs and rewrites none.

dedup_search.py finds the keys that are shared, range by range of key values, and the walk over all documents reads what
was found for one unit after the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.stages.dedup_search import UNIT, FoundKeys, search_runs
from gpts_data.pipelines.dedup.greedy import SharedKeys
from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.storage.atomic_files import atomic_write, storage_errors
from gpts_data.pipelines.storage.checksums import Checksum, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, is_store, local_copy, read_all, remove

RUN_KEYS = 1_000_000  # keys sorted at once; a unit with more has several sorted parts in its run
SLICES, SLICE = 64, np.uint64(58)  # number of slices of key values; a key's slice is its bits from SLICE on
RUN = pa.schema([("key", pa.uint64()), ("place", pa.uint32())])
MAX_PLACES = 2**32  # of keys in a unit
MAX_IN_MEMORY = 1 << 28  # numbers of 4 bytes that the walk has for shared keys: 1 GB
PLACES_AT_ONCE = 1_000_000  # of shared keys that the walk holds for the next units: 60 MB while they are sorted


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


class Index:
    """The shared keys of all ranges; `of` returns them for one unit.

    Those of several units are read at once, and kept until a unit after them is asked for.
    """

    def __init__(self, found: FoundKeys, units: int, scratch: Path) -> None:
        folder = found.paths[0] if found.paths else scratch
        batches = list(read_all(lambda path: _mapped(local_copy(path, scratch)), found.paths, folder))
        self._places = [batch.column("place").to_numpy() for batch in batches]
        self._groups = [batch.column("group").to_numpy() for batch in batches]
        self._first = np.cumsum([0, *(receipt["groups"] for receipt in found.receipts)])
        self.n_groups = int(self._first[-1])
        total = sum(map(len, self._places))
        self._at_once = max(PLACES_AT_ONCE * units // max(total, 1), 1)
        self._units = range(0)
        self._read = self._read_units(self._units)

    def of(self, number: int) -> SharedKeys:
        """The keys that documents of unit `number` share with other documents; places within the unit."""
        if number not in self._units:
            self._units = range(number, number + self._at_once)
            self._read = self._read_units(self._units)
        places, groups = self._read
        bounds = np.array([number, number + 1], dtype=np.uint64) << UNIT
        start, stop = np.searchsorted(places, bounds)
        return SharedKeys(places[start:stop] - bounds[0], groups[start:stop], self.n_groups)

    def _read_units(self, units: range) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """The places and numbers of the shared keys of some units. A range has them in one piece."""
        bounds = np.array([units.start, min(units.stop, 2**32 - 1)], dtype=np.uint64) << UNIT
        places, groups = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for n, range_places in enumerate(self._places):
            start, stop = np.searchsorted(range_places, bounds)
            places.append(range_places[start:stop])
            groups.append(self._groups[n][start:stop] + np.int64(self._first[n]))
        all_places = np.concatenate(places)
        order = np.argsort(all_places, kind="stable")  # merges the ranges, each in order, in half the time of a sort
        return all_places[order], np.concatenate(groups)[order]


def _mapped(path: AnyPath) -> pa.RecordBatch:
    """The only batch of a file. It stays mapped when the file is closed, so ranges do not use up file descriptors."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_file(file) as reader:
        return reader.get_batch(0)


def zeros(n: int, folder: Path) -> NDArray[np.uint32]:
    """n zeros: uint32. If there are more than MAX_IN_MEMORY, they are in a file in `folder`, of which the system holds
    in memory what there is room for. The file has no name and is gone when the process ends."""
    if n <= MAX_IN_MEMORY:
        return np.zeros(n, np.uint32)
    folder.mkdir(parents=True, exist_ok=True)
    with storage_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        for start in range(0, n, PLACES_AT_ONCE):  # all of it: if the disk got full later, a signal would end us
            file.write(np.zeros(min(PLACES_AT_ONCE, n - start), np.uint32).data)
        file.flush()
        return np.asarray(np.memmap(file, np.uint32, "r+", shape=(n,)))


@contextmanager
def index(
    runs: Sequence[AnyPath], n_keys: Sequence[int], folder: AnyPath, scratch: Path, engine: Engine
) -> Iterator[Index]:
    """Search these runs, in canonical order, for shared keys.

    n_keys: the number of keys of each run. folder: where the index is written. scratch: folder on this machine for
    copies of the index, if `folder` is in a store. Both are removed afterwards.
    """
    found = search_runs(runs, n_keys, folder, engine)
    if is_store(folder):
        scratch.mkdir(parents=True, exist_ok=True)
    yield Index(found, len(runs), scratch)
    remove(folder)
    remove(scratch)

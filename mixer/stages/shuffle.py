"""Shuffles of many files into many parts: windows of cut files into shards, keys of runs into ranges of keys.

Each file holds its records in the order of the parts, so a part has one run of records in each file. A bounds file says
where these runs begin. The task that collects a part reads two rows of it, and of each file nothing but its run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import read_windows
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.pipelines.storage.atomic_files import write_bytes
from gpts_data.pipelines.storage.paths import AnyPath, is_store, read_all, read_bytes, read_range
from gpts_data.tokenizer.artifact import TokenIds

BOUND = np.dtype("<u4")


@dataclass(frozen=True)
class Bounds:
    """A bounds file: uint32, shape (1 + parts + 1, files).

    Row 0 has a label of each file. Row 1 + p has the record of each file with which its run of part p begins, and row
    1 + p + 1 the one with which it ends.
    """

    path: AnyPath
    files: int

    def write(self, labels: Sequence[int], starts: NDArray[np.integer]) -> None:
        """Write the file. labels: one per file. starts: shape (files, parts + 1)."""
        rows = np.empty((1 + starts.shape[1], self.files), BOUND)
        rows[0], rows[1:] = labels, starts.T
        _write_unless_there(self.path, rows.tobytes())

    def read(self, part: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The label of each file, and where its run of a part begins and ends: int64, shape (files,) each."""
        starts, stops = self._rows(1 + part, 3 + part)
        return _labels(self), starts, stops

    def _rows(self, first: int, last: int) -> NDArray[np.int64]:
        content = read_records(self.path, BOUND, first * self.files, last * self.files)
        return content.astype(np.int64).reshape(-1, self.files)


@lru_cache(maxsize=16)  # of the few sources of a build: they are the same for all parts
def _labels(bounds: Bounds) -> NDArray[np.int64]:
    labels: NDArray[np.int64] = bounds._rows(0, 1)[0]
    return labels


@dataclass(frozen=True)
class ShuffledSource:
    """The windows of a source on their way from its cut files into shards."""

    order: EpochOrder
    folder: AnyPath
    """Folder of the cut files."""
    bounds: Bounds
    """Parts are shards; the label of a cut file is the first window of the source in it."""
    slots: AnyPath
    """File of the first slot of the source in each shard (`first_slots`)."""

    @property
    def files(self) -> int:
        """Number of cut files."""
        return self.bounds.files

    def path(self, number: int) -> AnyPath:
        """A cut file."""
        return self.folder / f"{number:05d}.bin"


def read_records(path: AnyPath, dtype: np.dtype[Any], start: int, stop: int) -> NDArray[Any]:
    """Records `start` to `stop` of a file that has nothing else, and nothing more of it: shape (stop - start,)."""
    if not is_store(path):
        return np.fromfile(path, dtype, stop - start, offset=start * dtype.itemsize)
    content = read_range(path, start * dtype.itemsize, stop * dtype.itemsize) if stop > start else b""
    return np.frombuffer(content, dtype)


def write_first_slots(path: AnyPath, slots: NDArray[np.integer]) -> None:
    """Write the file that `first_slots` reads."""
    _write_unless_there(path, slots.astype("<i8").tobytes())


@lru_cache(maxsize=16)  # of the few sources of a build; the path is another one for other contents
def first_slots(path: AnyPath) -> NDArray[np.int64]:
    """The first slot of a source in each shard, then the number of its slots: int64, shape (shards + 1,)."""
    return np.frombuffer(read_bytes(path), "<i8")


def _write_unless_there(path: AnyPath, content: bytes) -> None:
    """Write a file, unless an earlier run has written the same; in a store, that is as dear to ask as to write."""
    with suppress(FileNotFoundError):
        if not is_store(path) and read_bytes(path) == content:
            return
    write_bytes(path, content)


def gather_windows(
    path: Callable[[int], AnyPath],
    files: NDArray[np.integer],
    starts: NDArray[np.integer],
    positions: NDArray[np.integer],
    tokens: TokenIds,
) -> NDArray[np.int64]:
    """Collect windows from cut files, each of which has its share of them in one run.

    path: the path of a file by its index. files: for each window the index of its file, shape (windows,). starts: the
    row in each file with which its run begins. positions: the row of `tokens` for each window. tokens: written; its
    shape is (rows, window). Returns the number of windows from each file.
    """

    def read(file: int) -> TokenIds:
        start = int(starts[file])
        return read_windows(path(file), tokens.shape[1], start, start + int(counts[file]), tokens.dtype)

    counts = np.bincount(files, minlength=len(starts))
    by_file = positions[np.argsort(files, kind="stable")]
    ends, used = np.cumsum(counts), np.flatnonzero(counts).tolist()
    for file, run in zip(used, read_all(read, used, path(0)), strict=True):
        tokens[by_file[ends[file] - counts[file] : ends[file]]] = run
    return counts

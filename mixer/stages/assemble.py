"""ASSEMBLE(shard): gather each position's window from the cut files. A pure function of the schedule and the shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import SIDECAR, read_windows
from gpts_data.mixer.schedule.source_order import SourceOrder
from gpts_data.pipelines.storage.atomic_files import atomic_write, size_and_sha256, write_npy
from gpts_data.pipelines.storage.paths import AnyPath, load_npy, read_all
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt


@dataclass(frozen=True)
class Shard:
    """One task: positions `start..stop`; `before` the windows per source in front of it; `cuts` the .bin per source."""

    start: int
    stop: int
    before: tuple[int, ...]
    schedule: SourceOrder
    window: int
    cuts: tuple[tuple[AnyPath, ...], ...]
    path: AnyPath
    receipt: AnyPath
    key: str

    @property
    def sidecar(self) -> AnyPath:
        return self.path.with_suffix(".windows.npy")


def assemble(task: Shard) -> dict[str, Any]:
    """Write a shard and its sidecar; receipt last, with windows, bytes, digests, windows per source and highest id."""
    if receipt := read_receipt(task.receipt, task.key):
        return receipt
    order = task.schedule.sources(task.start, task.stop, task.before)
    tokens = np.empty((task.stop - task.start, task.window), dtype="<u2")
    sidecar = np.empty(len(order), dtype=SIDECAR)
    sidecar["source"] = order
    for source, cuts in enumerate(task.cuts):
        positions = np.flatnonzero(order == source)
        _gather(cuts, task.before[source], positions, tokens, sidecar)
    with atomic_write(task.path) as file:
        file.write(tokens.data)
        facts = size_and_sha256(file)
    return write_receipt(
        task.receipt,
        task.key,
        windows=len(order),
        **facts,
        sidecar=write_npy(task.sidecar, sidecar),
        sources=np.bincount(order, minlength=len(task.cuts)).tolist(),
        highest_id=int(tokens.max()),
    )


def _gather(
    cuts: Sequence[AnyPath],
    first_slot: int,
    positions: NDArray[np.integer],
    tokens: NDArray[np.uint16],
    sidecar: NDArray[Any],
) -> None:
    """Put a source's slots `first_slot..first_slot + len(positions)` where they belong; each cut file gives one run."""

    def read(path: AnyPath) -> tuple[NDArray[Any], NDArray[np.uint16]]:
        index = load_npy(path.with_suffix(".npy"))
        low, high = np.searchsorted(index["slot"], [first_slot, first_slot + len(positions)])
        return index[low:high], read_windows(path, tokens.shape[1], int(low), int(high))

    for index, windows in read_all(read, cuts, cuts[0]):
        places = positions[index["slot"].astype(np.int64) - first_slot]
        tokens[places] = windows
        sidecar["window"][places] = index["window"]

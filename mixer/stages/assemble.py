"""ASSEMBLE(shard): collect the windows of a shard from the cut files, in training order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import SIDECAR, read_windows
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.schedule.source_order import SourceOrder, find_source_order
from gpts_data.mixer.stages.cut import Cut
from gpts_data.pipelines.storage.atomic_files import (
    ContentDigest,
    atomic_write,
    json_digest,
    size_and_sha256,
    write_npy,
)
from gpts_data.pipelines.storage.checksums import all_intact
from gpts_data.pipelines.storage.paths import AnyPath, load_npy, read_all
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt


class ShardReceipt(TypedDict):
    """Receipt of one shard."""

    key: str
    windows: int
    bytes: int
    sha256: str
    sidecar: ContentDigest
    sources: list[int]
    """Windows per source, in recipe order."""
    highest_id: int


@dataclass(frozen=True)
class Shard:
    """One task: the windows of positions `start..stop` of the training order."""

    start: int
    stop: int
    before: tuple[int, ...]
    """Windows per source at earlier positions."""
    schedule: SourceOrder
    window: int
    cuts: tuple[tuple[AnyPath, ...], ...]
    """Per source its cut files (.bin), in source order."""
    path: AnyPath
    receipt: AnyPath
    key: str

    @property
    def sidecar(self) -> AnyPath:
        return self.path.with_suffix(".windows.npy")

    def accepts(self, receipt: ShardReceipt) -> bool:
        """Whether the files of an earlier run are as it wrote them."""
        return all_intact("shards", {self.path: receipt, self.sidecar: receipt["sidecar"]})


def shard_tasks(plan: Plan, cuts: Sequence[Sequence[Cut]], build_id: str) -> list[Shard]:
    """The tasks that assemble all shards of a mix from its cut files."""
    recipe = plan.recipe
    order = find_source_order(recipe.stages)
    counts = order.counts(recipe.shard_windows)
    paths = tuple(tuple(task.path for task in tasks) for tasks in cuts)
    return [
        Shard(
            start=start,
            stop=min(start + recipe.shard_windows, order.windows),
            before=tuple(counts[n].tolist()),
            schedule=order,
            window=recipe.window,
            cuts=paths,
            path=plan.folder / "shards" / f"train-{n:05d}.bin",
            receipt=plan.work / "shards" / f"{n:05d}.json",
            key=json_digest([build_id, "shard", n]),
        )
        for n, start in enumerate(range(0, order.windows, recipe.shard_windows))
    ]


def assemble(task: Shard) -> ShardReceipt:
    """Write a shard and its sidecar, then the receipt."""
    if (receipt := read_receipt(task.receipt, task.key, ShardReceipt)) and task.accepts(receipt):
        return receipt
    task.receipt.unlink(missing_ok=True)
    order = task.schedule.sources(task.start, task.stop, task.before)
    tokens = np.empty((task.stop - task.start, task.window), dtype="<u2")
    sidecar = np.empty(len(order), dtype=SIDECAR)
    sidecar["source"] = order
    for source, cuts in enumerate(task.cuts):
        positions = np.flatnonzero(order == source)
        _gather(cuts, task.before[source], positions, tokens, sidecar)
    with atomic_write(task.path) as file:
        file.write(tokens.data)
        digest = size_and_sha256(file)
    result: ShardReceipt = {
        "key": task.key,
        "windows": len(order),
        **digest,
        "sidecar": write_npy(task.sidecar, sidecar),
        "sources": np.bincount(order, minlength=len(task.cuts)).tolist(),
        "highest_id": int(tokens.max()),
    }
    return write_receipt(task.receipt, result)


def _gather(
    cuts: Sequence[AnyPath],
    first_slot: int,
    positions: NDArray[np.integer],
    tokens: NDArray[np.uint16],
    sidecar: NDArray[Any],
) -> None:
    """Copy a source's slots from `first_slot` on to their positions in the shard.

    cuts: the source's cut files; each contributes one run of consecutive slots.
    positions: of the source's windows within the shard, one per slot.
    tokens: uint16, shape (windows of the shard, window); written.
    sidecar: layout.SIDECAR, shape (windows of the shard,); written.
    """

    def read(path: AnyPath) -> tuple[NDArray[Any], NDArray[np.uint16]]:
        index = load_npy(path.with_suffix(".npy"))
        low, high = np.searchsorted(index["slot"], [first_slot, first_slot + len(positions)])
        return index[low:high], read_windows(path, tokens.shape[1], int(low), int(high))

    for index, windows in read_all(read, cuts, cuts[0]):
        rows = positions[index["slot"].astype(np.int64) - first_slot]
        tokens[rows] = windows
        sidecar["window"][rows] = index["window"]

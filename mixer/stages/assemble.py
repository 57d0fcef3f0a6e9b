"""ASSEMBLE(shard): collect the windows of a shard from the cut files, in training order.

Which windows of a source are in its slots, `EpochOrder` says, so no index of a cut file is read. A task carries no
paths and no numbers of other tasks; it opens only those cut files that have windows for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import SIDECAR
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.schedule.source_order import SourceOrder, find_source_order
from gpts_data.mixer.stages.cut import epoch_order
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.merge_cuts import CutFile, CutFileReceipt
from gpts_data.mixer.stages.shuffle import Bounds, ShuffledSource, gather_windows, write_first_slots
from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.storage.atomic_files import (
    ContentDigest,
    atomic_write,
    json_digest,
    size_and_sha256,
    uploads_together,
    write_npy,
)
from gpts_data.pipelines.storage.checksums import all_intact
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt
from gpts_data.tokenizer.artifact import TokenIds


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

    number: int
    start: int
    stop: int
    before: tuple[int, ...]
    """Windows per source at earlier positions."""
    schedule: SourceOrder
    window: int
    dtype: np.dtype[Any]
    """Type of a token id."""
    sources: tuple[ShuffledSource, ...]
    path: AnyPath
    receipt: AnyPath
    key: str

    @property
    def sidecar(self) -> AnyPath:
        return self.path.with_suffix(".windows.npy")

    @property
    def memory_bytes(self) -> int:
        """Memory for the windows."""
        return (self.stop - self.start) * self.window * self.dtype.itemsize

    def accepts(self, receipt: ShardReceipt) -> bool:
        """Whether the files of an earlier run are as it wrote them."""
        return all_intact("shards", {self.path: receipt, self.sidecar: receipt["sidecar"]})


def shard_tasks(plan: Plan, deduped: Sequence[Sequence[DedupedUnit]], merged: int, build_id: str) -> list[Shard]:
    """The tasks that assemble all shards of a mix. merged: units to a cut file.

    Writes the first slot of each shard, which CUT needs. `write_bounds` must follow before the tasks are run.
    """
    recipe = plan.recipe
    order = find_source_order(recipe.stages)
    counts = order.counts(recipe.shard_windows)
    folder = plan.work / "shuffle" / build_id[:16]
    sources = []
    for i, (name, units) in enumerate(zip(recipe.names, deduped, strict=True)):
        bounds = Bounds(folder / f"{name}.bounds", -(-len(units) // merged))
        files = plan.work / ("cut" if merged == 1 else "merged") / name
        sources.append(ShuffledSource(epoch_order(plan, i, units), files, bounds, folder / f"{name}.slots"))
    with uploads_together(folder):
        for i, source in enumerate(sources):
            write_first_slots(source.slots, counts[:, i])
    return [
        Shard(
            number=n,
            start=start,
            stop=min(start + recipe.shard_windows, order.windows),
            before=tuple(counts[n].tolist()),
            schedule=order,
            window=recipe.window,
            dtype=plan.dtype,
            sources=tuple(sources),
            path=plan.folder / "shards" / f"train-{n:05d}.bin",
            receipt=plan.work / "shards" / f"{n:05d}.json",
            key=json_digest([build_id, "shard", n]),
        )
        for n, start in enumerate(range(0, order.windows, recipe.shard_windows))
    ]


def write_bounds(source: ShuffledSource, files: Sequence[tuple[CutFile, CutFileReceipt]]) -> None:
    """Write where the windows of each shard begin in the cut files of a source, from their receipts."""
    rows = np.array([receipt["rows"] for _, receipt in files], np.int64)
    source.bounds.write([task.cuts[0].first for task, _ in files], rows)


def assemble(task: Shard) -> ShardReceipt:
    """Write a shard and its sidecar, then the receipt."""
    if receipt := accepted_receipt(task.receipt, task.key, ShardReceipt, task.accepts):
        return receipt
    order = task.schedule.sources(task.start, task.stop, task.before)
    tokens = np.empty((task.stop - task.start, task.window), dtype=task.dtype)
    sidecar = np.empty(len(order), dtype=SIDECAR)
    sidecar["source"] = order

    def gather(number: int) -> None:
        _gather(task, number, np.flatnonzero(order == number), tokens, sidecar)

    list(read_all(gather, range(len(task.sources)), task.path))
    with uploads_together(task.path):
        with atomic_write(task.path) as file:
            file.write(tokens.data)
            digest = size_and_sha256(file)
        result: ShardReceipt = {
            "key": task.key,
            "windows": len(order),
            **digest,
            "sidecar": write_npy(task.sidecar, sidecar),
            "sources": np.bincount(order, minlength=len(task.sources)).tolist(),
            "highest_id": int(tokens.max()),
        }
    return write_receipt(task.receipt, result)


def _gather(
    task: Shard,
    number: int,
    positions: NDArray[np.integer],
    tokens: TokenIds,
    sidecar: NDArray[Any],
) -> None:
    """Copy the windows of a source to their positions in the shard.

    positions: of the source's windows within the shard, one per slot.
    tokens: token ids, shape (windows of the shard, window); written.
    sidecar: layout.SIDECAR, shape (windows of the shard,); written.
    """
    source, first_slot = task.sources[number], task.before[number]
    windows = source.order.windows_at(np.arange(first_slot, first_slot + len(positions)))
    first_windows, starts, stops = source.bounds.read(task.number)
    files = np.searchsorted(first_windows, windows, side="right") - 1
    if (np.bincount(files, minlength=source.files) != stops - starts).any():
        raise GptsDataError(
            f"{source.bounds.path}: internal error: the bounds of shard {task.number} are not those of its windows; "
            "run the same command again, and report it if this repeats"
        )
    gather_windows(source.path, files, starts, positions, tokens)
    sidecar["window"][positions] = windows

"""PACK(unit): best-fit packing of a prepared unit, whose training documents then lie in whole windows of its own.

A unit holds thousands of documents, enough to fill windows well, so it is packed by itself: units are packed and cut in
parallel, and a larger budget changes only the last unit. CUT and the tables of outcomes read the places of the
documents from a file, since to find them takes as long as to cut the unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.recipe import BEST_FIT
from gpts_data.mixer.schedule.packing import best_fit
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.unit_file import document_columns
from gpts_data.pipelines.dedup.greedy import TRAIN
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import atomic_write, json_digest
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, read_bytes
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt

START = np.dtype("<i8")


class PackReceipt(TypedDict):
    """Receipt of one packed unit."""

    key: str
    windows: int
    """Windows that the documents of the unit fill."""
    file: Checksum


@dataclass(frozen=True)
class Pack:
    """One task: find the places of a unit's training documents in windows."""

    unit: DedupedUnit
    window: int
    path: AnyPath
    """File of the first token of each training document, in the order of the unit file, from the unit's beginning on:
    START, shape (documents,)."""
    key: str

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".packing.json")  # CUT's receipt has the suffix .json

    def accepts(self, receipt: PackReceipt) -> bool:
        """Return whether the file of an earlier run is as it was written."""
        return all_intact("packing", {self.path: receipt["file"]})


def pack_units(
    plan: Plan, build_id: str, deduped: Sequence[Sequence[DedupedUnit]], engine: Engine, progress: Progress
) -> list[list[DedupedUnit]]:
    """The units of each source at their places in its stream of windows; as they are, unless the recipe packs them."""
    if plan.recipe.packing.mode != BEST_FIT:
        return [list(units) for units in deduped]
    tasks = [_tasks(plan, build_id, name, units) for name, units in zip(plan.recipe.names, deduped, strict=True)]
    receipts: dict[str, PackReceipt] = {}
    for receipt in engine.map(pack, [task for source in tasks for task in source]):
        receipts[receipt["key"]] = receipt
        progress("pack", "", len(receipts), sum(map(len, tasks)))
    packed: list[list[DedupedUnit]] = []
    for source in tasks:
        start = 0
        packed.append([])
        for task in source:
            tokens = receipts[task.key]["windows"] * task.window
            packed[-1].append(replace(task.unit, start=start, tokens=tokens, packing=task.path))
            start += tokens
    return packed


def _tasks(plan: Plan, build_id: str, name: str, units: Sequence[DedupedUnit]) -> list[Pack]:
    folder = plan.work / "cut" / name
    return [
        Pack(unit, plan.recipe.window, folder / f"{n:05d}.starts", json_digest([build_id, name, n, "packing"]))
        for n, unit in enumerate(units)
    ]


def pack(task: Pack) -> PackReceipt:
    """Write the places of a unit's training documents, then the receipt."""
    if receipt := accepted_receipt(task.receipt, task.key, PackReceipt, task.accepts):
        return receipt
    tokens, _, _ = document_columns(task.unit.path)
    packing = best_fit(tokens[task.unit.codes == TRAIN], task.window)
    with atomic_write(task.path) as file:
        file.write(packing.starts.astype(START).data)
        checksum = checksum_so_far(file)
    return write_receipt(task.receipt, PackReceipt(key=task.key, windows=packing.windows, file=checksum))


def packed_starts(path: AnyPath) -> NDArray[np.int64]:
    """The content of a file of `pack`."""
    return np.frombuffer(read_bytes(path), START)


def rows_in_stream_order(unit: DedupedUnit, code: int) -> NDArray[np.int64]:
    """The rows in the unit file of the documents with the verdict `code`, in the order of their document table."""
    rows = np.flatnonzero(unit.codes == code)
    if code == TRAIN and unit.packing:
        rows = rows[np.argsort(packed_starts(unit.packing))]
    return rows

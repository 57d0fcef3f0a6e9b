"""MERGE: cut several units of a source, and merge their cut files into one that is in slot order as a whole.

A shard reads from every cut file. With 60,000 of them, as 1T tokens have, that would be three windows at a time. So
beyond MAX_FILES units, groups of MERGED units are cut by one task each, which merges them: each window is then written
and read twice, and a shard reads from 2,000 files some 80 windows each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.cut import Cut, CutReceipt, cut, cut_tasks
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.shuffle import ShuffledSource, first_slots, gather_windows
from gpts_data.pipelines.storage.atomic_files import FileDigest, atomic_write, json_digest
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath, remove_file
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt

MAX_FILES = 4096  # of a mix, that shards read: 70B tokens; a shard then reads 32 windows from each
MERGED = 32  # units to a file beyond that
ROWS_AT_ONCE = 65_536  # windows that are merged in memory: 67 MB at 512 tokens


class CutFileReceipt(TypedDict):
    """Receipt of a file of windows that shards read."""

    key: str
    rows: list[int]
    """Its first row that belongs to each shard, then their number."""
    file: Checksum
    cuts: list[CutReceipt]
    """Receipts of the units whose windows it has."""


@dataclass(frozen=True)
class CutFile:
    """One task: a file of the windows of consecutive units."""

    cuts: tuple[Cut, ...]
    path: AnyPath
    slots: AnyPath
    """File of the first slot of each shard (`shuffle.first_slots`)."""
    key: str

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")

    @property
    def memory_bytes(self) -> int:
        """Memory for the token ids of a unit and the windows made of them; units are cut one after the other."""
        return 2 * max(task.parts[0].tokens * task.dtype.itemsize for task in self.cuts)

    @property
    def is_merged(self) -> bool:
        """Whether it is not just the cut file of its only unit."""
        return self.path != self.cuts[0].path

    def accepts(self, receipt: CutFileReceipt) -> bool:
        """Whether the files of an earlier run are as it wrote them."""
        files: dict[AnyPath, Checksum | FileDigest] = {self.path: receipt["file"]}
        for task, cut_receipt in zip(self.cuts, receipt["cuts"], strict=True):
            files.update(task.other_files(cut_receipt))
        return all_intact("cut", files)


def merged_units(deduped: Sequence[Sequence[DedupedUnit]]) -> int:
    """The number of units whose windows are in one file, in a mix of these units."""
    return 1 if sum(map(len, deduped)) <= MAX_FILES else MERGED


def cut_file_tasks(
    plan: Plan, source: int, units: Sequence[DedupedUnit], merged: int, shuffled: ShuffledSource, build_id: str
) -> list[CutFile]:
    """The tasks that cut all units of a source. merged: units to a file. shuffled: how shards read the files."""
    cuts = cut_tasks(plan, source, units, build_id, shuffled.slots if merged == 1 else None)
    if merged == 1:
        return [CutFile((task,), task.path, shuffled.slots, task.key) for task in cuts]
    keys = [json_digest([build_id, plan.recipe.names[source], "merged", n, merged]) for n in range(shuffled.files)]
    return [
        CutFile(tuple(cuts[n * merged : (n + 1) * merged]), shuffled.path(n), shuffled.slots, key)
        for n, key in enumerate(keys)
    ]


def cut_file(task: CutFile) -> CutFileReceipt:
    """Cut the units of a task; if there are several, merge their cut files, write the receipt and remove these."""
    if not task.is_merged:
        cut_receipt = cut(task.cuts[0])
        return {"key": task.key, "rows": cut_receipt["rows"], "file": cut_receipt["windows"], "cuts": [cut_receipt]}
    if receipt := accepted_receipt(task.receipt, task.key, CutFileReceipt, task.accepts):
        return receipt
    cuts = [cut(part) for part in task.cuts]
    rows, checksum = _merge(task)
    receipt = write_receipt(task.receipt, CutFileReceipt(key=task.key, rows=rows, file=checksum, cuts=cuts))
    for part in task.cuts:
        remove_file(part.path)
    return receipt


def _merge(task: CutFile) -> tuple[list[int], Checksum]:
    """Write the windows of all cut files in slot order. Returns `CutFileReceipt.rows` and the file's checksum."""
    order, window = task.cuts[0].order, task.cuts[0].window
    end = min(task.cuts[-1].last, order.windows)  # the last units may begin after the source's last window
    slots, windows = order.slots_of(np.arange(task.cuts[0].first, end))
    by_slot = np.argsort(slots)
    files = np.searchsorted([part.first for part in task.cuts], windows[by_slot], side="right") - 1
    paths = [part.path for part in task.cuts]
    starts = np.zeros(len(paths), np.int64)
    with atomic_write(task.path) as file:
        for start in range(0, len(files), ROWS_AT_ONCE):
            chunk = files[start : start + ROWS_AT_ONCE]
            rows = np.empty((len(chunk), window), dtype=task.cuts[0].dtype)
            starts += gather_windows(paths.__getitem__, chunk, starts, np.arange(len(chunk)), rows)
            file.write(rows.data)
        checksum = checksum_so_far(file)
    return np.searchsorted(slots[by_slot], first_slots(task.slots)).tolist(), checksum

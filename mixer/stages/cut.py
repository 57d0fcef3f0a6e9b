"""CUT(unit): cut a source's stream of training tokens into windows, and sort them by their place in the mix.

A unit has the windows that begin in it, and takes the end of its last window from the units after it. The windows of a
source fill the source's slots in the training order; `EpochOrder` says which window goes into which slots, one slot per
epoch. A cut file holds its windows in slot order, so that a shard has its own in one run, and the receipt says where
these runs begin (shuffle.py): each byte is written once and read once, sequentially.

The held-out documents of the unit go into a file beside it, for HOLD_OUT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import IO, Any, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.format.manifest_types import PackingEntry, PackingPart
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.document_table import DocumentTable, table_files, table_rows, write_documents
from gpts_data.mixer.stages.pack_units import packed_starts
from gpts_data.mixer.stages.shuffle import first_slots
from gpts_data.mixer.stages.unit_file import batch_ids, unit_batches
from gpts_data.pipelines.dedup.greedy import HELD_OUT, TRAIN
from gpts_data.pipelines.storage.atomic_files import FileDigest, atomic_write, json_digest, uploads_together
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt
from gpts_data.tokenizer.artifact import TokenIds

ROWS_AT_ONCE = 4096  # 4 MB of windows of 512
HELD_OUT_COLUMNS = ("id", "url", "tokens", "ids")


class HeldOutPart(TypedDict):
    """The held-out documents of one unit. Without documents there is no file."""

    documents: int
    tokens: int
    file: NotRequired[Checksum]


class CutReceipt(DocumentTable):
    """Receipt of one cut unit."""

    key: str
    windows: Checksum
    """Of the cut file."""
    rows: list[int]
    """The first row of the cut file that belongs to each shard, then their number; empty if shards do not read it."""
    leftover_documents: int
    """Documents that begin after the source's last window, so that no window has a token of them."""
    packing: NotRequired[PackingEntry]
    """Present if the unit is packed."""
    held_out: HeldOutPart


@dataclass(frozen=True)
class Cut:
    """One task: the windows `first` to `last` of a source, which begin in the unit `parts[0]`. The other parts hold the
    end of the last one."""

    parts: tuple[DedupedUnit, ...]
    first: int
    last: int
    window: int
    dtype: np.dtype[Any]
    """Type of a token id."""
    order: EpochOrder
    path: AnyPath
    documents: AnyPath
    """Path of the document table that the task writes."""
    key: str
    slots: AnyPath | None = None
    """File of the first slot of each shard (`shuffle.first_slots`); None when shards do not read the cut file."""

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")

    @property
    def held_out(self) -> AnyPath:
        """File of the held-out documents: Arrow IPC, HELD_OUT_COLUMNS of the unit file."""
        return self.path.with_suffix(".held.arrow")

    def accepts(self, receipt: CutReceipt) -> bool:
        """Whether the files of an earlier run are as it wrote them."""
        return all_intact("cut", {self.path: receipt["windows"], **self.other_files(receipt)})

    def other_files(self, receipt: CutReceipt) -> dict[AnyPath, Checksum | FileDigest]:
        """The files beside the cut file: the held-out documents and the document table."""
        held_out = receipt["held_out"]
        files: dict[AnyPath, Checksum | FileDigest] = {self.held_out: held_out["file"]} if "file" in held_out else {}
        return {**files, **table_files(self.documents, receipt)}


def cut_tasks(
    plan: Plan, source: int, units: Sequence[DedupedUnit], build_id: str, slots: AnyPath | None = None
) -> list[Cut]:
    """The tasks that cut all units of a source. slots: as in `Cut`."""
    recipe, name = plan.recipe, plan.recipe.names[source]
    order = epoch_order(plan, source, units)
    tasks = []
    for n, unit in enumerate(units):
        first, end = -(-unit.start // recipe.window), -(-unit.stop // recipe.window)
        later = (units[k] for k in range(n + 1, len(units)))
        parts = (unit, *takewhile(lambda part: part.start < end * recipe.window, later))  # noqa: B023 - taken at once
        tasks.append(
            Cut(
                parts=parts,
                first=first,
                last=max(min(end, order.windows), first),
                window=recipe.window,
                dtype=plan.dtype,
                order=order,
                path=plan.work / "cut" / name / f"{n:05d}.bin",
                documents=plan.folder / "documents" / name / f"{n:05d}.parquet",
                key=json_digest([build_id, name, n]),
                slots=slots,
            )
        )
    return tasks


def epoch_order(plan: Plan, source: int, units: Sequence[DedupedUnit]) -> EpochOrder:
    """The order in which the mix takes the windows of a source, given all its units."""
    recipe = plan.recipe
    distinct = plan.pass_windows(source, units[-1].stop)
    return EpochOrder(recipe.windows[source], distinct, recipe.seed, recipe.names[source])


def cut(task: Cut) -> CutReceipt:
    """Write a unit's windows (.bin), its held-out documents (.held.arrow) and its document table, then the receipt."""
    if receipt := accepted_receipt(task.receipt, task.key, CutReceipt, task.accepts):
        return receipt
    documents = _Documents(task.parts[0])
    tokens = _windows(task, documents)
    slots, windows = task.order.slots_of(np.arange(task.first, task.last))
    by_slot = np.argsort(slots)
    with uploads_together(task.path):
        with atomic_write(task.path) as file:
            write_rows(file, tokens, windows[by_slot] - task.first)
            checksum = checksum_so_far(file)
        rows = np.searchsorted(slots[by_slot], first_slots(task.slots)) if task.slots else np.empty(0, np.int64)
        end = task.order.windows * task.window
        result: CutReceipt = {
            "key": task.key,
            "windows": checksum,
            "rows": rows.tolist(),
            "leftover_documents": sum(
                int((table.column("start").to_numpy() >= end).sum()) for table in documents.training
            ),
            "held_out": _write_held_out(task.held_out, documents.held_out),
            **write_documents(task.documents, documents.training),
            **_count_packing(documents.training, task),
        }
    return write_receipt(task.receipt, result)


@dataclass
class _Documents:
    """The documents of a unit that are in the mix, collected batch by batch."""

    unit: DedupedUnit
    training: list[pa.Table] = field(default_factory=list)
    """Rows of the document table."""
    held_out: list[pa.RecordBatch] = field(default_factory=list)
    """HELD_OUT_COLUMNS."""
    _start: int = 0

    def add(self, batch: pa.RecordBatch, codes: NDArray[np.uint8]) -> None:
        chosen = batch.select(["id", "url", "tokens"]).take(pa.array(np.flatnonzero(codes == TRAIN)))
        self.training.append(table_rows(chosen, self.unit.name, self.unit.start + self._start))
        self._start += int(chosen.column("tokens").to_numpy().sum(dtype=np.int64))
        if (codes == HELD_OUT).any():
            self.held_out.append(batch.take(pa.array(np.flatnonzero(codes == HELD_OUT))))


def _windows(task: Cut, documents: _Documents) -> TokenIds:
    """The windows of a task, in the order of the source: shape (windows, window).

    Reads the task's unit whole, and adds its batches to `documents`; of the units after it no more than is needed.
    """
    if packing := task.parts[0].packing:
        return _packed_windows(task, packed_starts(packing), documents)
    count = (task.last - task.first) * task.window
    tokens = np.empty(count, dtype=task.dtype)
    done = task.parts[0].start - task.first * task.window  # below 0: the end of a window that begins before the unit
    for n, part in enumerate(task.parts):
        for batch, codes in _judged_batches(part, HELD_OUT_COLUMNS if n == 0 else ("tokens", "ids")):
            if n == 0:
                documents.add(batch, codes)
            elif done >= count:
                break
            ids = batch_ids(batch, codes == TRAIN)
            piece = ids[max(-done, 0) : max(count - done, 0)]
            tokens[max(done, 0) : max(done, 0) + len(piece)] = piece
            done += len(ids)
    return tokens.reshape(-1, task.window)


def _packed_windows(task: Cut, starts: NDArray[np.int64], documents: _Documents) -> TokenIds:
    """Fill windows like `_windows`, for a packed unit: padded with end-of-text, the document table in stream order.

    starts: the first token of each training document.
    """
    unit, done = task.parts[0], 0
    tokens = np.empty(unit.tokens, task.dtype)
    for batch, codes in _judged_batches(unit, HELD_OUT_COLUMNS):
        documents.add(batch, codes)
        lengths = documents.training[-1].column("tokens").to_numpy().astype(np.int64)
        ids = batch_ids(batch, codes == TRAIN)
        if len(ids) and not done:
            tokens.fill(ids[-1])  # each document ends with end-of-text
        first = starts[done : done + len(lengths)] - np.cumsum(lengths) + lengths
        tokens[np.repeat(first, lengths) + np.arange(len(ids))] = ids
        done += len(lengths)
    if documents.training:
        table = pa.concat_tables(documents.training)
        column = pa.array((unit.start + starts).astype(np.uint64))
        table = table.set_column(table.column_names.index("start"), "start", column)
        documents.training = [table.sort_by("start")]
    return tokens[: (task.last - task.first) * task.window].reshape(-1, task.window)


def _count_packing(tables: Sequence[pa.Table], task: Cut) -> PackingPart:
    """The padding and the cuts in the windows of a packed unit that are in the mix; `tables`: its document table."""
    if not task.parts[0].packing:
        return {}
    begin, end = task.first * task.window, task.last * task.window
    padding, cuts = end - begin, 0
    for table in tables:
        starts, lengths = (table.column(name).to_numpy().astype(np.int64) for name in ("start", "tokens"))
        stops = np.minimum(starts + lengths, end)
        is_in = starts < end
        padding -= int((stops - starts)[is_in].sum())
        cuts += int(((stops - 1) // task.window - starts // task.window)[is_in].sum())
    return {"packing": {"padding": padding, "cuts": cuts}}


def _judged_batches(unit: DedupedUnit, columns: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, NDArray[np.uint8]]]:
    """The record batches of a unit file, and the verdicts on their documents."""
    done = 0
    for batch in unit_batches(unit.path, columns):
        yield batch, unit.codes[done : done + batch.num_rows]
        done += batch.num_rows


def write_rows(file: IO[bytes], rows: TokenIds, order: NDArray[np.integer]) -> None:
    """Write `rows[order]`, ROWS_AT_ONCE at a time.

    rows: token ids, shape (windows, window). order: integers, shape (windows to write,).
    """
    for i in range(0, len(order), ROWS_AT_ONCE):
        file.write(rows[order[i : i + ROWS_AT_ONCE]].tobytes())


def _write_held_out(path: AnyPath, batches: Sequence[pa.RecordBatch]) -> HeldOutPart:
    if not batches:
        return {"documents": 0, "tokens": 0}
    with atomic_write(path) as file:
        with pa.ipc.new_file(file, batches[0].schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        checksum = checksum_so_far(file)
    tokens = sum(int(batch.column("tokens").to_numpy().sum(dtype=np.int64)) for batch in batches)
    return {"documents": sum(batch.num_rows for batch in batches), "tokens": tokens, "file": checksum}

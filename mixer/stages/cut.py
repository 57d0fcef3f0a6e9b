"""CUT(unit): cut a source's stream of training tokens into windows, and sort them by their place in the mix.

A unit has the windows that begin in it, and takes the end of its last window from the units after it. The windows of a
source fill the source's slots in the training order; `EpochOrder` says which window goes into which slots, one slot per
epoch. A cut file holds its windows in slot order, so that a shard finds its own in one run: each byte is written once
and read once, sequentially.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import IO, NotRequired, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.format.content_digest import table_digest
from gpts_data.mixer.format.document_index import index_ids, index_name
from gpts_data.mixer.format.layout import DOCUMENTS
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.unit_file import batch_ids, unit_batches
from gpts_data.pipelines.dedup.greedy import HELD_OUT, TRAIN
from gpts_data.pipelines.storage.atomic_files import (
    ContentDigest,
    FileDigest,
    atomic_write,
    json_digest,
    size_and_sha256,
    write_npy,
)
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt

SLOTS = np.dtype([("slot", "<u4"), ("window", "<u4")])  # one row per window of a cut file
ROWS_AT_ONCE = 4096  # 4 MB of windows of 512


class DocumentTable(TypedDict):
    """A document table that was written. When no document is in it there is no file, and only `documents` is given."""

    documents: int
    """Number of documents in the table."""
    start: NotRequired[int]
    """First token of the first document in the source's stream."""
    index: NotRequired[ContentDigest]
    """File of the hashes of the document ids."""
    bytes: NotRequired[int]
    sha256: NotRequired[str]
    content: NotRequired[str]
    """Digest of its values: content_digest.table_digest."""


class CutReceipt(DocumentTable):
    """Receipt of one cut unit."""

    key: str
    windows: Checksum
    """Of the cut file."""
    slots: FileDigest
    """Of the file of its slots."""
    leftover_documents: int
    """Documents that begin after the source's last window, so that no window has a token of them."""


class HoldOutReceipt(TypedDict):
    """Receipt of the validation set of one source."""

    key: str
    windows: int
    tokens: int
    """Tokens of all held-out documents, with those that fill no whole window."""
    bytes: int
    sha256: str
    documents: DocumentTable


@dataclass(frozen=True)
class Cut:
    """One task: the windows that begin in the unit `parts[0]`. The other parts hold the end of its last window."""

    parts: tuple[DedupedUnit, ...]
    window: int
    order: EpochOrder
    path: AnyPath
    documents: AnyPath
    """Where the document table is written."""
    key: str

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")

    @property
    def slots(self) -> AnyPath:
        """File of the slots of its windows (SLOTS)."""
        return self.path.with_suffix(".npy")

    def accepts(self, receipt: CutReceipt) -> bool:
        """Whether the files of an earlier run are as it wrote them."""
        tables = _files(self.documents, receipt)
        return all_intact("cut", {self.path: receipt["windows"], self.slots: receipt["slots"], **tables})


@dataclass(frozen=True)
class HoldOut:
    """One task: the held-out documents of a source as windows, in source order."""

    parts: tuple[DedupedUnit, ...]
    window: int
    path: AnyPath
    documents: AnyPath
    """Where the document table is written."""
    receipt: AnyPath
    key: str

    def accepts(self, receipt: HoldOutReceipt) -> bool:
        """Whether the files of an earlier run are as it wrote them."""
        files: dict[AnyPath, Checksum | FileDigest] = {
            self.path: receipt,
            **_files(self.documents, receipt["documents"]),
        }
        return all_intact("validation", files)


def cut_tasks(plan: Plan, source: int, units: Sequence[DedupedUnit], build_id: str) -> list[Cut]:
    """The tasks that cut all units of a source."""
    recipe, name = plan.recipe, plan.recipe.names[source]
    order = EpochOrder(recipe.windows[source], plan.pass_windows(source, units[-1].stop), recipe.seed, name)
    tasks = []
    for n, unit in enumerate(units):
        end = -(-unit.stop // recipe.window) * recipe.window  # of its last window, which may end in a later unit
        later = (units[k] for k in range(n + 1, len(units)))
        parts = (unit, *takewhile(lambda part: part.start < end, later))  # noqa: B023 - taken at once
        path = plan.work / "cut" / name / f"{n:05d}.bin"
        documents = plan.folder / "documents" / name / f"{n:05d}.parquet"
        tasks.append(Cut(parts, recipe.window, order, path, documents, key=json_digest([build_id, name, n])))
    return tasks


def hold_out_task(plan: Plan, source: int, units: Sequence[DedupedUnit], build_id: str) -> HoldOut:
    """The task that writes the validation set of a source."""
    name, folder = plan.recipe.names[source], plan.folder / "validation"
    return HoldOut(
        parts=tuple(units),
        window=plan.recipe.window,
        path=folder / f"{name}.bin",
        documents=folder / f"{name}.parquet",
        receipt=plan.work / "validation" / f"{name}.json",
        key=json_digest([build_id, name, "validation"]),
    )


def cut(task: Cut) -> CutReceipt:
    """Write a unit's windows (.bin), their slots (.npy, SLOTS) and its document table, then the receipt."""
    if (receipt := read_receipt(task.receipt, task.key, CutReceipt)) and task.accepts(receipt):
        return receipt
    task.receipt.unlink(missing_ok=True)
    unit = task.parts[0]
    first = -(-unit.start // task.window)
    last = max(min(-(-unit.stop // task.window), task.order.windows), first)
    tokens = _take(task.parts, first * task.window - unit.start, (last - first) * task.window)
    slots, windows = task.order.slots_of(np.arange(first, last))
    by_slot = np.argsort(slots)
    index = np.empty(len(windows), dtype=SLOTS)
    index["slot"], index["window"] = slots[by_slot], windows[by_slot]
    with atomic_write(task.path) as file:
        write_rows(file, tokens.reshape(-1, task.window), windows[by_slot] - first)
        checksum = checksum_so_far(file)
    slots_file = write_npy(task.slots, index)
    table = _documents([unit], TRAIN)
    is_leftover = table.column("start").to_numpy() >= task.order.windows * task.window
    result: CutReceipt = {
        "key": task.key,
        "windows": checksum,
        "slots": slots_file,
        "leftover_documents": int(is_leftover.sum()),
        **_write_documents(task.documents, table),
    }
    return write_receipt(task.receipt, result)


def hold_out(task: HoldOut) -> HoldOutReceipt:
    """Write the whole windows of a source's held-out documents, and their document table, then the receipt."""
    if (receipt := read_receipt(task.receipt, task.key, HoldOutReceipt)) and task.accepts(receipt):
        return receipt
    task.receipt.unlink(missing_ok=True)
    pieces = [ids for part in task.parts for ids in surviving_ids(part, HELD_OUT)]
    tokens = np.concatenate([np.empty(0, np.uint16), *pieces])
    n_windows = len(tokens) // task.window
    with atomic_write(task.path) as file:
        file.write(tokens[: n_windows * task.window].astype("<u2").tobytes())
        digest = size_and_sha256(file)
    result: HoldOutReceipt = {
        "key": task.key,
        "windows": n_windows,
        "tokens": len(tokens),
        **digest,
        "documents": _write_documents(task.documents, _documents(task.parts, HELD_OUT)),
    }
    return write_receipt(task.receipt, result)


def surviving_ids(unit: DedupedUnit, code: int) -> Iterator[NDArray[np.uint16]]:
    """The token ids of a unit's documents with the verdict `code`, batch by batch: uint16."""
    done = 0
    for batch in unit_batches(unit.path, ("tokens", "ids")):
        chosen = unit.codes[done : done + batch.num_rows] == code
        done += batch.num_rows
        if chosen.any():
            yield batch_ids(batch, chosen)


def write_rows(file: IO[bytes], rows: NDArray[np.uint16], order: NDArray[np.integer]) -> None:
    """Write `rows[order]`, ROWS_AT_ONCE at a time.

    rows: uint16, shape (windows, window). order: integers, shape (windows to write,).
    """
    for i in range(0, len(order), ROWS_AT_ONCE):
        file.write(rows[order[i : i + ROWS_AT_ONCE]].astype("<u2", copy=False).tobytes())


def _take(parts: Sequence[DedupedUnit], skip: int, count: int) -> NDArray[np.uint16]:
    """`count` token ids of the training stream that begins with `parts[0]`, after the first `skip`: uint16."""
    taken = np.empty(count, dtype=np.uint16)
    done = -skip
    for part in parts:
        for ids in surviving_ids(part, TRAIN):
            if done >= count:
                return taken
            piece = ids[max(-done, 0) : count - done]
            taken[max(done, 0) : max(done, 0) + len(piece)] = piece
            done += len(ids)
    return taken


def _documents(parts: Sequence[DedupedUnit], code: int) -> pa.Table:
    """The document table (layout.DOCUMENTS) of all documents with verdict `code`."""
    start = parts[0].start if code == TRAIN and parts else 0
    tables = []
    for part in parts:
        done = 0
        for batch in unit_batches(part.path, ("id", "url", "tokens")):
            chosen = np.flatnonzero(part.codes[done : done + batch.num_rows] == code)
            done += batch.num_rows
            table = pa.Table.from_batches([batch.select(["id", "url", "tokens"]).take(pa.array(chosen))])
            lengths = table.column("tokens").to_numpy()
            starts = start + np.cumsum(lengths, dtype=np.uint64) - lengths
            start += int(lengths.sum())
            unit = pa.array([part.name] * len(chosen), pa.string())
            tables.append(table.append_column("unit", unit).append_column("start", pa.array(starts, pa.uint64())))
    return pa.concat_tables([DOCUMENTS.empty_table(), *(table.select(DOCUMENTS.names) for table in tables)])


def _write_documents(path: AnyPath, table: pa.Table) -> DocumentTable:
    """Write a document table and the index of its ids; a table without documents gets no file."""
    if table.num_rows == 0:
        return {"documents": 0}
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", store_schema=False)
        digest = size_and_sha256(file)
    index = write_npy(path.with_name(index_name(path.name)), index_ids(table.column("id")))
    return {
        "documents": table.num_rows,
        "start": table.column("start")[0].as_py(),
        "index": index,
        **digest,
        "content": table_digest(table),
    }


def _files(path: AnyPath, table: DocumentTable) -> dict[AnyPath, FileDigest]:
    """The files of a document table that `_write_documents` wrote."""
    if table["documents"] == 0:
        return {}
    return {
        path: {"bytes": table["bytes"], "sha256": table["sha256"]},
        path.with_name(index_name(path.name)): table["index"],
    }

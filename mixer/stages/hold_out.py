"""HOLD_OUT(source): join the held-out documents of all its units, which CUT has written, into the validation set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import pyarrow as pa

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.cut import Cut, CutReceipt
from gpts_data.mixer.stages.document_table import DocumentTable, table_files, table_rows, write_documents
from gpts_data.mixer.stages.unit_file import whole_arrow_file
from gpts_data.pipelines.storage.atomic_files import (
    FileDigest,
    atomic_write,
    json_digest,
    size_and_sha256,
    uploads_together,
)
from gpts_data.pipelines.storage.checksums import Checksum, all_intact
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt


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
class HoldOut:
    """One task: the held-out documents of a source as windows, in source order."""

    parts: tuple[tuple[AnyPath, str], ...]
    """The files of the held-out documents, in source order, and the names of their units."""
    tokens: int
    """Tokens of all held-out documents."""
    window: int
    path: AnyPath
    documents: AnyPath
    """Path of the document table that the task writes."""
    receipt: AnyPath
    key: str

    @property
    def memory_bytes(self) -> int:
        """Memory for the token ids, at most 4 bytes each, and for the document table."""
        return 8 * self.tokens

    def accepts(self, receipt: HoldOutReceipt) -> bool:
        """Whether the files of an earlier run are as it wrote them."""
        files: dict[AnyPath, Checksum | FileDigest] = {
            self.path: receipt,
            **table_files(self.documents, receipt["documents"]),
        }
        return all_intact("validation", files)


def hold_out_task(plan: Plan, source: int, cuts: Sequence[tuple[Cut, CutReceipt]], build_id: str) -> HoldOut:
    """The task that writes the validation set of a source, whose units are cut."""
    name, folder = plan.recipe.names[source], plan.folder / "validation"
    return HoldOut(
        parts=tuple((task.held_out, task.parts[0].name) for task, receipt in cuts if receipt["held_out"]["documents"]),
        tokens=sum(receipt["held_out"]["tokens"] for _, receipt in cuts),
        window=plan.recipe.window,
        path=folder / f"{name}.bin",
        documents=folder / f"{name}.parquet",
        receipt=plan.work / "validation" / f"{name}.json",
        key=json_digest([build_id, name, "validation"]),
    )


def hold_out(task: HoldOut) -> HoldOutReceipt:
    """Write the whole windows of a source's held-out documents, and their document table, then the receipt."""
    if receipt := accepted_receipt(task.receipt, task.key, HoldOutReceipt, task.accepts):
        return receipt
    n_windows = task.tokens // task.window
    tables, done = [], 0
    with uploads_together(task.path):
        with atomic_write(task.path) as file:
            for unit, batch in _batches(task):
                tables.append(table_rows(batch, unit, done))
                ids = batch.column("ids").flatten().to_numpy()
                file.write(ids[: max(n_windows * task.window - done, 0)].tobytes())
                done += len(ids)
            digest = size_and_sha256(file)
        result: HoldOutReceipt = {
            "key": task.key,
            "windows": n_windows,
            "tokens": done,
            **digest,
            "documents": write_documents(task.documents, tables),
        }
    return write_receipt(task.receipt, result)


def _batches(task: HoldOut) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The held-out documents (cut.HELD_OUT_COLUMNS) of one unit after the other, with the unit's name."""
    paths = [path for path, _ in task.parts]
    for (_, unit), table in zip(task.parts, read_all(whole_arrow_file, paths, task.path), strict=True):
        for batch in table:
            yield unit, batch

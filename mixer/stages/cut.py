"""CUT(unit): a source's stream of surviving tokens, cut every `window` ids; the windows sorted by where they will go.

A unit owns the windows that begin in it and borrows the rest of its last one from the units behind. Window k of a
source goes to the slots places(k) of that source's in the schedule, one for each pass. The cut file holds the windows
in slot order, so a shard finds its own in one run: bytes move once out and once in, sequentially.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.format.document_index import SUFFIX, index_ids
from gpts_data.mixer.format.layout import DOCUMENTS
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.prepare import batch_ids, unit_batches
from gpts_data.pipelines.dedup.greedy import HELD_OUT, TRAIN
from gpts_data.pipelines.storage.atomic_files import atomic_write, size_and_sha256, write_npy
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt

SLOTS = np.dtype([("slot", "<u4"), ("window", "<u4")])
ROWS_AT_ONCE = 4096  # 4 MB of windows of 512


@dataclass(frozen=True)
class Cut:
    """One task: the windows of `parts[0]`; the further parts are there for the end of its last window."""

    parts: tuple[DedupedUnit, ...]
    window: int
    order: EpochOrder
    path: AnyPath
    documents: AnyPath
    key: str

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")


@dataclass(frozen=True)
class HoldOut:
    """One task: the held-out documents of a source as windows, in source order."""

    parts: tuple[DedupedUnit, ...]
    window: int
    path: AnyPath
    documents: AnyPath
    receipt: AnyPath
    key: str


def cut(task: Cut) -> dict[str, Any]:
    """Write a unit's windows (.bin), their slots (.npy) and its document table; receipt last."""
    if receipt := read_receipt(task.receipt, task.key):
        return receipt
    part = task.parts[0]
    first = -(-part.start // task.window)
    last = max(min(-(-part.stop // task.window), task.order.windows), first)
    tokens = _take(task.parts, first * task.window - part.start, (last - first) * task.window)
    slots, windows = task.order.slots_of(np.arange(first, last))
    by_slot = np.argsort(slots)
    index = np.empty(len(windows), dtype=SLOTS)
    index["slot"], index["window"] = slots[by_slot], windows[by_slot]
    with atomic_write(task.path) as file:
        write_rows(file, tokens.reshape(-1, task.window), windows[by_slot] - first)
    write_npy(task.path.with_suffix(".npy"), index)
    table = _documents([part], TRAIN, task.order.windows * task.window)
    return write_receipt(task.receipt, task.key, **_write_documents(task.documents, table))


def hold_out(task: HoldOut) -> dict[str, Any]:
    """Write the held-out windows and documents of a source; whole windows only, the rest is counted."""
    if receipt := read_receipt(task.receipt, task.key):
        return receipt
    pieces = [ids for part in task.parts for ids in surviving_ids(part, HELD_OUT)]
    tokens = np.concatenate([np.empty(0, np.uint16), *pieces])
    n_windows = len(tokens) // task.window
    with atomic_write(task.path) as file:
        file.write(tokens[: n_windows * task.window].astype("<u2").tobytes())
        facts = size_and_sha256(file)
    table = _documents(task.parts, HELD_OUT, None)
    return write_receipt(
        task.receipt,
        task.key,
        windows=n_windows,
        tokens=len(tokens),
        **facts,
        documents=_write_documents(task.documents, table),
    )


def surviving_ids(part: DedupedUnit, code: int) -> Iterator[NDArray[np.uint16]]:
    """The ids of a unit's documents with this verdict, batch by batch."""
    done = 0
    for batch in unit_batches(part.path, ("tokens", "ids")):
        chosen = part.codes[done : done + batch.num_rows] == code
        done += batch.num_rows
        if chosen.any():
            yield batch_ids(batch, chosen)


def write_rows(file: IO[bytes], rows: NDArray[np.uint16], order: NDArray[np.integer]) -> None:
    """Rows in the given order, through a buffer of ROWS_AT_ONCE."""
    for i in range(0, len(order), ROWS_AT_ONCE):
        file.write(rows[order[i : i + ROWS_AT_ONCE]].astype("<u2", copy=False).tobytes())


def _take(parts: Sequence[DedupedUnit], skip: int, count: int) -> NDArray[np.uint16]:
    """`count` training ids from the stream that begins with `parts[0]`, after `skip`."""
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


def _documents(parts: Sequence[DedupedUnit], code: int, stop: int | None) -> pa.Table:
    """The document table of these parts: those that begin before `stop`, with their place in the stream."""
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
    whole = pa.concat_tables([DOCUMENTS.empty_table(), *(table.select(DOCUMENTS.names) for table in tables)])
    return whole if stop is None else whole.filter(pc.less(whole.column("start"), pa.scalar(stop, pa.uint64())))


def _write_documents(path: AnyPath, table: pa.Table) -> dict[str, Any]:
    """Write a document table and return its facts; a unit without documents gets no file."""
    if table.num_rows == 0:
        return {"documents": 0}
    with atomic_write(path) as file:
        pq.write_table(table, file, compression="zstd", store_schema=False)
        facts = size_and_sha256(file)
    index = write_npy(path.with_suffix(SUFFIX), index_ids(table.column("id")))
    return {
        "documents": table.num_rows,
        "start": table.column("start")[0].as_py(),
        "index": index,
        **facts,
    }

"""The file of a prepared unit: the token ids and columns of its kept documents.

It is Arrow IPC with record batches of some BATCH_BYTES, so that it can be written and memory-mapped batch by batch.
Its columns (UNIT):

    id, url   strings
    draw      uint64, hash of the id, which decides whether the document is held out for validation
    matches   list of uint32, the benchmark n-grams in the document
    tokens    uint32, number of token ids
    ids       list of uint16, token ids, end-of-text included; the text itself is not stored. uint32 where the tokenizer
              has more than 65,536 entries
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.storage.paths import AnyPath, is_store, read_all
from gpts_data.pipelines.storage.store_file import arrow_opener, open_arrow
from gpts_data.tokenizer.artifact import TokenIds

BATCH_BYTES = 4 << 20  # of token ids. In a store, each batch that is read takes a request, and each text a whole batch
BATCHES_AT_ONCE = 8  # that are read from a store at the same time, and held until they are used
UNIT = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("draw", pa.uint64()),
        ("matches", pa.list_(pa.uint32())),
        ("tokens", pa.uint32()),
        ("ids", pa.list_(pa.uint16())),
    ]
)


def unit_schema(dtype: np.dtype[Any]) -> pa.Schema:
    """The columns of a unit file whose token ids have the type `dtype`."""
    column = UNIT.get_field_index("ids")
    return UNIT.set(column, pa.field("ids", pa.list_(pa.from_numpy_dtype(dtype))))


Columns = tuple[NDArray[np.uint32], NDArray[np.uint64], pa.ListArray]
"""The columns tokens, draw and matches of all documents of a unit."""


class UnitWriter:
    """Writes the batches of a unit file, small ones together."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._batches: list[pa.RecordBatch] = []
        self._held = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Add the rows of the next documents."""
        self._batches.append(batch)
        self._held += batch.column("ids").flatten().nbytes
        if self._held >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the batches added so far as one."""
        if self._batches:
            self._writer.write_batch(pa.concat_batches(self._batches))
        self._batches, self._held = [], 0


@contextmanager
def unit_writer(file: IO[bytes], dtype: np.dtype[Any]) -> Iterator[UnitWriter]:
    """Write a unit file, which is complete when the block ends. dtype: type of its token ids."""
    with pa.ipc.new_file(file, unit_schema(dtype)) as arrow_writer:
        writer = UnitWriter(arrow_writer)
        yield writer
        writer.flush()


def unit_batches(path: AnyPath, columns: Sequence[str] = tuple(UNIT.names)) -> Iterator[pa.RecordBatch]:
    """The record batches of a unit file. Only the given columns are read; they come in the order of UNIT."""
    options = pa.ipc.IpcReadOptions(included_fields=[UNIT.get_field_index(name) for name in columns])
    open_unit = arrow_opener(path)

    def read(number: int) -> pa.RecordBatch:
        with open_unit() as source, pa.ipc.open_file(source, options=options) as reader:
            return reader.get_batch(number)

    with open_unit() as source, pa.ipc.open_file(source, options=options) as reader:
        numbers = range(reader.num_record_batches)
        if "ids" in columns:  # they are most of the file, which is then read on in large requests
            yield from map(reader.get_batch, numbers)
            return
    yield from read_all(read, numbers, path, BATCHES_AT_ONCE)


def whole_arrow_file(path: AnyPath) -> list[pa.RecordBatch]:
    """All record batches of an Arrow file that fits in memory; from a store it is read with one request."""
    with open_arrow(path) as source:
        content = source if not is_store(path) else pa.BufferReader(source.read())
        with pa.ipc.open_file(content) as reader:
            return [reader.get_batch(i) for i in range(reader.num_record_batches)]


def document_columns(path: AnyPath) -> Columns:
    """The columns tokens (uint32), draw (uint64) and matches (list of uint32) of all documents of a unit."""
    columns = "tokens", "draw", "matches"
    empty = pa.RecordBatch.from_pylist([], schema=UNIT)
    batches = [batch.select(columns) for batch in (empty, *unit_batches(path, columns))]
    table = pa.Table.from_batches(batches).combine_chunks()
    tokens, draws, matches = (table.column(name) for name in columns)
    return tokens.to_numpy(), draws.to_numpy(), matches.chunk(0) if matches.num_chunks else empty.column("matches")


def batch_ids(batch: pa.RecordBatch, chosen: NDArray[np.bool_]) -> TokenIds:
    """The token ids of the chosen documents, concatenated. chosen: bool, shape (documents,)."""
    ids: TokenIds = batch.column("ids").flatten().to_numpy()
    return ids[np.repeat(chosen, batch.column("tokens").to_numpy())]

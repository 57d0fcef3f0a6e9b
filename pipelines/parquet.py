"""Parquet files as runs of row groups. Only the named columns are read, one row group at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.remote import RemoteFile

BATCH_ROWS = 1000
MAGIC = b"PAR1"
GAP = 16 << 10  # bytes between two columns that cost less than a request of their own

Names = tuple[str, str | None, str | None]
"""The source's names for text, id and url."""


def columns(file: IO[bytes], name: str) -> set[str]:
    with _damage(name):
        return set(_metadata(file, name).schema.to_arrow_schema().names)


def runs(file: IO[bytes], name: str, text: str, unit_bytes: int) -> list[tuple[int, int, int]]:
    """Runs (first row group, one past the last, text bytes), each closed once it holds `unit_bytes` of text."""
    with _damage(name):
        metadata = _metadata(file, name)
        sizes = [_column_bytes(metadata.row_group(group), text) for group in range(metadata.num_row_groups)]
    found: list[tuple[int, int, int]] = []
    start = total = 0
    for group, size in enumerate(sizes):
        total += size
        if total >= unit_bytes or group == len(sizes) - 1:
            found.append((start, group + 1, total))
            start, total = group + 1, 0
    return found


def read(file: IO[bytes], name: str, start: int, stop: int, names: Names) -> Iterator[pa.RecordBatch]:
    """Row groups `start..stop` as batches of text, id, url, place (see `sources.read`)."""
    wanted = [column for column in dict.fromkeys(names) if column]
    with _damage(name):
        metadata = _metadata(file, name)
        spans = {group: _spans(metadata.row_group(group), wanted) for group in range(start, stop)}
        if isinstance(file, RemoteFile):
            file.expect(span for group in spans.values() for span in group)
        reader = pq.ParquetFile(file, metadata=metadata, pre_buffer=False, page_checksum_verification=True)
        for group in range(start, stop):
            row = 0
            if isinstance(file, RemoteFile):
                file.hold(len(spans[group]))  # here and not from within Arrow, where Ctrl-C would not be heard
            for batch in reader.iter_batches(BATCH_ROWS, row_groups=[group], columns=wanted):
                places = [f"{name}:{group}:{row + i}" for i in range(batch.num_rows)]
                row += batch.num_rows
                yield _documents(batch, names, places)
            expected = reader.metadata.row_group(group).num_rows
            if row != expected:
                raise DataError(f"{name}: found {row:,} rows in row group {group}, expected {expected:,}")


def _metadata(file: IO[bytes], name: str) -> pq.FileMetaData:
    """The footer, and no byte more: Arrow would fetch the last 64 KiB, mostly of a column that is not read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != MAGIC or length + 12 > size:
        raise DataError(f"{name}: not readable as parquet: no footer at the end of its {size:,} bytes; it may be cut")
    file.seek(size - 8 - length)
    footer = file.read(length)
    return pq.read_metadata(pa.BufferReader(MAGIC + footer + tail))


def _spans(group: pq.RowGroupMetaData, columns: list[str]) -> list[tuple[int, int]]:
    """Where the named columns of a row group lie, in file order; neighbours as one."""
    spans: list[tuple[int, int]] = []
    if not group.num_rows:
        return spans
    for start, stop in sorted(_chunk(group.column(i)) for i in _indices(group, columns)):
        if spans and start - spans[-1][1] <= GAP:
            start, stop = spans[-1][0], max(stop, spans.pop()[1])
        spans.append((start, stop))
    return spans


def _chunk(chunk: pq.ColumnChunkMetaData) -> tuple[int, int]:
    first: int = chunk.data_page_offset
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:  # 0 in the files of some old writers
        first = min(first, chunk.dictionary_page_offset)
    stop: int = first + chunk.total_compressed_size
    if not 0 < first < stop:
        raise pa.ArrowInvalid(f"a column chunk from byte {first:,} to {stop:,}")
    return first, stop


def _indices(group: pq.RowGroupMetaData, columns: list[str]) -> list[int]:
    return [i for i in range(group.num_columns) if group.column(i).path_in_schema.split(".")[0] in columns]


def _documents(batch: pa.RecordBatch, names: Names, places: list[str]) -> pa.RecordBatch:
    nulls = pa.nulls(batch.num_rows, pa.string())
    text, id_, url = (batch.column(name).cast(pa.string()) if name else nulls for name in names)
    documents = pa.RecordBatch.from_arrays(
        [text, id_, url, pa.array(places, pa.string())], names=["text", "id", "url", "place"]
    )
    documents.validate(full=True)  # reading does not look whether strings are UTF-8
    return documents


def _column_bytes(group: pq.RowGroupMetaData, column: str) -> int:
    return sum(group.column(i).total_uncompressed_size for i in _indices(group, [column]))


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """Name the file when Arrow finds it damaged."""
    try:
        yield
    except (pa.ArrowException, KeyError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; Arrow's own, for a damaged page, has no number
        raise DataError(f"{name}: not readable as parquet: {error}") from error

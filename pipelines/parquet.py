"""Parquet files as runs of row groups. Only the named columns are read, one row group at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.pipelines.errors import DataError

BATCH_ROWS = 1000

Names = tuple[str, str | None, str | None]
"""The source's names for text, id and url."""


def columns(file: IO[bytes], name: str) -> set[str]:
    with _damage(name):
        return set(pq.read_schema(file).names)


def runs(file: IO[bytes], name: str, text: str, unit_bytes: int) -> list[tuple[int, int, int]]:
    """Runs (first row group, one past the last, text bytes), each closed once it holds `unit_bytes` of text."""
    with _damage(name):
        metadata = pq.ParquetFile(file).metadata
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
    with _damage(name):
        reader = pq.ParquetFile(file, pre_buffer=True)
        wanted = [column for column in dict.fromkeys(names) if column]
        for group in range(start, stop):
            row = 0
            for batch in reader.iter_batches(BATCH_ROWS, row_groups=[group], columns=wanted):
                places = [f"{name}:{group}:{row + i}" for i in range(batch.num_rows)]
                row += batch.num_rows
                yield _documents(batch, names, places)
            expected = reader.metadata.row_group(group).num_rows
            if row != expected:
                raise DataError(f"{name}: found {row:,} rows in row group {group}, expected {expected:,}")


def _documents(batch: pa.RecordBatch, names: Names, places: list[str]) -> pa.RecordBatch:
    nulls = pa.nulls(batch.num_rows, pa.string())
    text, id_, url = (batch.column(name).cast(pa.string()) if name else nulls for name in names)
    documents = pa.RecordBatch.from_arrays(
        [text, id_, url, pa.array(places, pa.string())], names=["text", "id", "url", "place"]
    )
    documents.validate(full=True)  # reading does not look whether strings are UTF-8
    return documents


def _column_bytes(group: pq.RowGroupMetaData, column: str) -> int:
    chunks = (group.column(i) for i in range(group.num_columns))
    return sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.split(".")[0] == column)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    """Name the file when Arrow finds it damaged."""
    try:
        yield
    except (pa.ArrowException, KeyError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; Arrow's own, for a damaged page, has no number
        raise DataError(f"{name}: not readable as parquet: {error}") from error

"""Parquet files as runs of row groups. Only the named columns are read, one row group at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.hub.remote_file import RemoteFile, Span
from gpts_data.pipelines.readers import damage

BATCH_ROWS = 1000
MAGIC = b"PAR1"
GAP = 16 << 10  # bytes between two columns that cost less than a request of their own,
GAP_SHARE = 1 / 50  # and no more of what is wanted than this

NO_SCORES: Mapping[str, float] = {}
Columns = tuple[str, str | None, str | None]
"""The source's names for text, id and url."""


def columns(file: IO[bytes], name: str) -> set[str]:
    """The names of columns that hold one plain value a row, each under a name of its own."""
    with _as_data_error(name):
        schema = _metadata(file, name).schema.to_arrow_schema()
        return {
            field.name for field in schema if not pa.types.is_nested(field.type) and schema.names.count(field.name) == 1
        }


def row_group_runs(file: IO[bytes], name: str, text: str, unit_bytes: int) -> list[tuple[int, int, int]]:
    """Runs (first row group, one past the last, text bytes), each closed once it holds `unit_bytes` of text."""
    with _as_data_error(name):
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


def text_bytes(file: IO[bytes], name: str, text: str, start: int, stop: int) -> int:
    """Of row groups `start..stop`, as `runs` counts them."""
    with _as_data_error(name):
        metadata = _metadata(file, name)
        groups = range(start, min(stop, metadata.num_row_groups))
        return sum(_column_bytes(metadata.row_group(group), text) for group in groups)


def fetch_cost(file: IO[bytes], name: str, wanted: Sequence[str], start: int, stop: int) -> tuple[int, int]:
    """Bytes and ranges that reading these columns of row groups `start..stop` asks for."""
    with _as_data_error(name):
        metadata = _metadata(file, name)
        spans = [span for group in range(start, stop) for span in _spans(metadata.row_group(group), list(wanted))]
    return sum(end - begin for begin, end in spans), len(spans)


def read(
    file: IO[bytes], name: str, start: int, stop: int, names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES, at_least: Mapping[str, float] = NO_SCORES,
) -> Iterator[pa.RecordBatch]:  # fmt: skip
    """Row groups `start..stop` as batches of text, id, url, place, fault (see `sources.read`).

    A row group that does not decode gives the rows before the damage, and a row with a fault for each behind it.
    """
    with _as_data_error(name):
        metadata = _metadata(file, name)
        schema = metadata.schema.to_arrow_schema()
        columns = _readable(schema, (*names, *at_least))
        drifted = names[0] not in columns
        spans = {g: [] if drifted else _spans(metadata.row_group(g), columns) for g in range(start, stop)}
        reader = pq.ParquetFile(file, metadata=metadata, pre_buffer=False, page_checksum_verification=True)
    _check_columns(schema, columns, names, at_least, name)
    if isinstance(file, RemoteFile):
        size = file.seek(0, os.SEEK_END)
        spans = {g: [(a, min(b, size)) for a, b in found if a < size] for g, found in spans.items()}
        file.prefetch(span for group in spans.values() for span in group)
    for group in range(start, stop):
        n_rows = metadata.row_group(group).num_rows
        if isinstance(file, RemoteFile):
            file.load_next(len(spans[group]))  # here and not from within Arrow, where Ctrl-C would not be heard
        if drifted:
            yield from _lost(name, group, 0, n_rows, damage.DRIFT)
            continue
        row = 0
        for batch in _decoded(file, reader, name, group, columns, spans[group]):
            places = _places(name, group, row, row + batch.num_rows)
            row += batch.num_rows
            with _as_data_error(name):
                found = damage.flag_faults(_documents(batch, names, places), max_document_bytes)
                found = damage.flag_low_scores(found, {column: batch.column(column) for column in at_least}, at_least)
            yield found
        yield from _lost(name, group, row, n_rows, damage.DAMAGED_GROUP)


def _decoded(
    file: IO[bytes], reader: pq.ParquetFile, name: str, group: int, columns: list[str], spans: list[Span]
) -> Iterator[pa.RecordBatch]:
    """The batches of a row group, up to where it does not decode. What came damaged over the network may be whole the
    next time."""
    done = 0
    for last_try in (False, True) if isinstance(file, RemoteFile) else (True,):
        try:
            with _as_data_error(name):
                for i, batch in enumerate(reader.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns)):
                    if i >= done:
                        yield batch
                        done += 1
            return
        except DataError:
            if not last_try and isinstance(file, RemoteFile):
                file.reload(spans)


def _lost(name: str, group: int, start: int, stop: int, fault: str) -> Iterator[pa.RecordBatch]:
    """Rows `start..stop` of a row group, which cannot be read."""
    for first in range(start, stop, BATCH_ROWS):
        last = min(first + BATCH_ROWS, stop)
        nulls = pa.nulls(last - first, pa.string())
        places = _places(name, group, first, last)
        yield pa.RecordBatch.from_arrays([nulls, nulls, nulls, places, _all(fault, last - first)], schema=damage.SCHEMA)


def _readable(schema: pa.Schema, names: Sequence[str | None]) -> list[str]:
    """The columns of `names` that the file has, without the text where it holds no strings."""
    found = [column for column in dict.fromkeys(names) if column and schema.names.count(column) == 1]
    return [column for column in found if column != names[0] or _is_text(schema.field(column).type)]


def _check_columns(
    schema: pa.Schema, columns: list[str], names: Columns, at_least: Mapping[str, float], name: str
) -> None:
    for column in filter(None, (*names[1:], *at_least)):
        if column not in columns:  # documents without their names would be others to dedup and to the held-out draw
            raise DataError(f"{name}: no column {column!r} for id, url or at_least; found {', '.join(schema.names)}")
    for column in at_least:
        kind = schema.field(column).type
        if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
            raise DataError(f"{name}: at_least: column {column!r} holds {kind}, expected numbers")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kinds = pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view
    return any(is_kind(kind) for is_kind in (*kinds, pa.types.is_binary, pa.types.is_large_binary))


def _places(name: str, group: int, start: int, stop: int) -> pa.StringArray:
    return pa.array([f"{name}:{group}:{row}" for row in range(start, stop)], pa.string())


def _all(value: str, n: int) -> pa.StringArray:
    return pa.array([value] * n, pa.string())


def _metadata(file: IO[bytes], name: str) -> pq.FileMetaData:
    try:
        return _footer(file, name)
    except (DataError, pa.ArrowException, OSError):
        if not isinstance(file, RemoteFile):
            raise
        file.evict()
        return _footer(file, name)


def _footer(file: IO[bytes], name: str) -> pq.FileMetaData:
    """The footer, and no byte more: Arrow would fetch the last 64 KiB, mostly of a column that is not read."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 8, 0))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] == b"PARE":
        raise DataError(f"{name}: an encrypted parquet file; decrypt it first")
    if tail[4:] != MAGIC or length + 12 > size:
        raise DataError(f"{name}: not readable as parquet: no footer at the end of its {size:,} bytes; it may be cut")
    file.seek(size - 8 - length)
    footer = file.read(length)
    metadata = pq.read_metadata(pa.BufferReader(MAGIC + footer + tail))
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if min(rows, default=0) < 0 or sum(rows) != metadata.num_rows:
        raise pa.ArrowInvalid(f"{metadata.num_rows:,} rows in all, {sum(rows):,} in row groups")
    return metadata


def _spans(group: pq.RowGroupMetaData, columns: list[str]) -> list[Span]:
    """Where the named columns of a row group lie, in file order; neighbours as one."""
    chunks = sorted(_chunk(group.column(i)) for i in _indices(group, columns)) if group.num_rows else []
    gap = min(GAP, GAP_SHARE * sum(stop - start for start, stop in chunks))
    spans: list[Span] = []
    for start, stop in chunks:
        if spans and start - spans[-1][1] <= gap:
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
    return [i for i in range(group.num_columns) if _within(group.column(i).path_in_schema, columns)]


def _within(path: str, columns: list[str]) -> bool:
    """Whether a leaf is one of the columns or lies in one; a column's own name may hold dots."""
    return any(path == column or path.startswith(column + ".") for column in columns)


def _documents(batch: pa.RecordBatch, names: Columns, places: pa.StringArray) -> pa.RecordBatch:
    nulls = pa.nulls(batch.num_rows, pa.string())
    strings = [_strings(batch.column(name)) if name in batch.schema.names else (nulls, None) for name in names]
    fault = nulls
    if any(bad is not None for _, bad in strings):
        bad = np.any([bad for _, bad in strings if bad is not None], axis=0)
        fault = pc.if_else(pa.array(bad), damage.NOT_UTF8, nulls)
        strings[0] = pc.if_else(pa.array(bad), nulls, strings[0][0]), None
    return pa.RecordBatch.from_arrays([*(column for column, _ in strings), places, fault], schema=damage.SCHEMA)


def _strings(column: pa.Array) -> tuple[pa.StringArray, NDArray[np.bool_] | None]:
    """A column as strings, and which of them are not UTF-8 (None: all are) and null now; reading does not look."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        strings = column.cast(pa.string(), safe=False)  # safe: all or nothing
    else:
        strings = column.cast(pa.string())
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        values = strings.cast(pa.binary()).to_pylist()
        bad = np.array([value is not None and not _is_utf8(value) for value in values])
        return pa.array([None if b else v for v, b in zip(values, bad, strict=True)], pa.binary()).cast(
            pa.string()
        ), bad
    return strings, None


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _column_bytes(group: pq.RowGroupMetaData, column: str) -> int:
    return sum(group.column(i).total_uncompressed_size for i in _indices(group, [column]))


@contextmanager
def _as_data_error(name: str) -> Iterator[None]:
    """Name the file when Arrow finds it damaged."""
    try:
        yield
    except MemoryError:  # Arrow's is an ArrowException too, and no damage
        raise
    except (pa.ArrowException, KeyError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk; Arrow's own, for a damaged page, has no number
        raise DataError(f"{name}: not readable as parquet: {error}") from error

"""Parquet files as runs of row groups. Only the named columns are read, one row group at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.hub.remote_file import Prefetcher, Span, prefetcher
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.source import NO_SCORES, Columns

BATCH_ROWS = 1000
MAGIC = b"PAR1"
GAP = 16 << 10  # bytes between two columns: fewer cost less than another request,
GAP_SHARE = 1 / 50  # if they are also less than this share of the bytes that are needed


def columns(file: IO[bytes], name: str) -> set[str]:
    """The names of columns that hold one plain value per row and whose name occurs once."""
    with _as_data_error(name):
        schema = _metadata(file, name).schema.to_arrow_schema()
        return {
            field.name for field in schema if not pa.types.is_nested(field.type) and schema.names.count(field.name) == 1
        }


def row_group_runs(file: IO[bytes], name: str, text: str, unit_bytes: int) -> list[tuple[int, int, int]]:
    """Consecutive row groups, divided into runs of at least `unit_bytes` bytes of text; the last may have fewer.

    Returns for each run its first row group, one past its last, and its uncompressed bytes of column `text`.
    """
    with _as_data_error(name):
        metadata = _metadata(file, name)
        sizes = [_column_bytes(metadata.row_group(group), text) for group in range(metadata.num_row_groups)]
    runs: list[tuple[int, int, int]] = []
    start = total = 0
    for group, size in enumerate(sizes):
        total += size
        if total >= unit_bytes or group == len(sizes) - 1:
            runs.append((start, group + 1, total))
            start, total = group + 1, 0
    return runs


def text_bytes(file: IO[bytes], name: str, text: str, start: int, stop: int) -> int:
    """Uncompressed bytes of column `text` in row groups `start..stop`, as `row_group_runs` counts them."""
    with _as_data_error(name):
        metadata = _metadata(file, name)
        groups = range(start, min(stop, metadata.num_row_groups))
        return sum(_column_bytes(metadata.row_group(group), text) for group in groups)


def fetch_cost(file: IO[bytes], name: str, columns: Sequence[str], start: int, stop: int) -> tuple[int, int]:
    """The number of bytes, and of ranges, that reading these columns of row groups `start..stop` requests."""
    with _as_data_error(name):
        metadata = _metadata(file, name)
        spans = [span for group in range(start, stop) for span in _spans(metadata.row_group(group), list(columns))]
    return sum(end - begin for begin, end in spans), len(spans)


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    at_least: Mapping[str, float] = NO_SCORES,
) -> Iterator[pa.RecordBatch]:
    """Row groups `start..stop` as batches of text, id, url, place, fault (see `reader.read`).

    A row group that does not decode gives the rows before the damage, then a row with a fault for each that is lost.
    """
    with _as_data_error(name):
        metadata = _metadata(file, name)
        schema = metadata.schema.to_arrow_schema()
    readable = _readable(schema, (*names, *at_least))
    _check_columns(schema, readable, names, at_least, name)
    for group, row, batch in _decoded_groups(file, name, metadata, range(start, stop), readable, names[0]):
        if isinstance(batch, str):
            yield from _lost(name, group, row, metadata.row_group(group).num_rows, batch)
            continue
        places = _places(name, group, row, row + batch.num_rows)
        with _as_data_error(name):
            documents = damage.flag_faults(_documents(batch, names, places), max_document_bytes)
            scores = {column: batch.column(column) for column in at_least}
            documents = damage.flag_low_scores(documents, scores, at_least)
        yield documents


def _decoded_groups(
    file: IO[bytes], name: str, metadata: pq.FileMetaData, groups: Iterable[int], readable: list[str], text: str
) -> Iterator[tuple[int, int, pa.RecordBatch | str]]:
    """Each batch with its row group and the number of its first row; where a row group ends, the fault of the rows
    that it lacks."""
    if text not in readable:
        yield from ((group, 0, damage.DRIFT) for group in groups)
        return
    with _as_data_error(name):
        size = file.seek(0, os.SEEK_END)
        spans = {group: _clipped(_spans(metadata.row_group(group), readable), size) for group in groups}
        reader = pq.ParquetFile(file, metadata=metadata, pre_buffer=False, page_checksum_verification=True)
    remote = prefetcher(file)
    remote.prefetch(span for group_spans in spans.values() for span in group_spans)
    for group, group_spans in spans.items():
        remote.load_next(len(group_spans))  # here and not from within Arrow, which would not notice Ctrl-C
        row = 0
        for batch in _decoded(reader, remote, name, group, readable, group_spans):
            yield group, row, batch
            row += batch.num_rows
        yield group, row, damage.DAMAGED_GROUP


def _decoded(
    reader: pq.ParquetFile, remote: Prefetcher, name: str, group: int, columns: list[str], spans: list[Span]
) -> Iterator[pa.RecordBatch]:
    """The batches of a row group, up to where it does not decode. A remote one is fetched and decoded twice, since the
    network may have damaged it."""
    done = 0
    for attempt in (1, 2):
        try:
            with _as_data_error(name):
                for i, batch in enumerate(reader.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns)):
                    if i >= done:
                        yield batch
                        done += 1
            return
        except DataError:
            if attempt == 2 or not remote.reload(spans):
                return


def _clipped(spans: list[Span], size: int) -> list[Span]:
    """The parts of `spans` inside a file of `size` bytes: a damaged footer may point beyond its end."""
    return [(start, min(stop, size)) for start, stop in spans if start < size]


def _lost(name: str, group: int, start: int, stop: int, fault: str) -> Iterator[pa.RecordBatch]:
    """Rows `start..stop` of a row group, none of which can be read, as rows with a fault."""
    for first in range(start, stop, BATCH_ROWS):
        last = min(first + BATCH_ROWS, stop)
        nulls = pa.nulls(last - first, pa.string())
        places = _places(name, group, first, last)
        yield pa.RecordBatch.from_arrays([nulls, nulls, nulls, places, _all(fault, last - first)], schema=damage.SCHEMA)


def _readable(schema: pa.Schema, names: Sequence[str | None]) -> list[str]:
    """The columns of `names` that the file has; the first, the text, only if it holds strings."""
    present = [column for column in dict.fromkeys(names) if column and schema.names.count(column) == 1]
    return [column for column in present if column != names[0] or _is_text(schema.field(column).type)]


def _check_columns(
    schema: pa.Schema, readable: list[str], names: Columns, at_least: Mapping[str, float], name: str
) -> None:
    for column in filter(None, (*names[1:], *at_least)):
        if column not in readable:  # without their ids, documents would be deduplicated and held out differently
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
    """The footer of the file; a remote one that is not readable is fetched a second time."""
    try:
        return _footer(file, name)
    except (DataError, pa.ArrowException, OSError):
        if not prefetcher(file).evict():
            raise
        return _footer(file, name)


def _footer(file: IO[bytes], name: str) -> pq.FileMetaData:
    """The footer. Exactly its bytes are read: Arrow would fetch the last 64 KiB, mostly of a column not needed."""
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
    """The byte ranges of the named columns of a row group, in file order; close neighbours are joined."""
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
    if chunk.has_dictionary_page and chunk.dictionary_page_offset:  # some old writers put 0 here
        first = min(first, chunk.dictionary_page_offset)
    stop: int = first + chunk.total_compressed_size
    if not 0 < first < stop:
        raise pa.ArrowInvalid(f"a column chunk from byte {first:,} to {stop:,}")
    return first, stop


def _indices(group: pq.RowGroupMetaData, columns: list[str]) -> list[int]:
    return [i for i in range(group.num_columns) if _within(group.column(i).path_in_schema, columns)]


def _within(path: str, columns: list[str]) -> bool:
    """Whether a leaf is one of the columns or inside one of them. A column's own name may contain dots."""
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
    """A column as strings, and a mask of those that are not UTF-8 and became null (None if all are valid).

    Arrow does not validate UTF-8 when it reads parquet.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        strings = column.cast(pa.string(), safe=False)  # a safe cast fails if one string is invalid
    else:
        strings = column.cast(pa.string())
    try:
        strings.validate(full=True)
    except pa.ArrowInvalid:
        values = strings.cast(pa.binary()).to_pylist()
        bad = np.array([value is not None and not _is_utf8(value) for value in values])
        valid = [None if is_bad else value for value, is_bad in zip(values, bad, strict=True)]
        return pa.array(valid, pa.binary()).cast(pa.string()), bad
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
    """Turn Arrow's errors about a damaged file into `DataError` with the file's name."""
    try:
        yield
    except MemoryError:  # Arrow's own is an ArrowException too, but no damage
        raise
    except (pa.ArrowException, KeyError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk; Arrow's own OSError for a damaged page has no errno
        raise DataError(f"{name}: not readable as parquet: {error}") from error

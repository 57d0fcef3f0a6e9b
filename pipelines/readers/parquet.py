"""Parquet files as runs of row groups. Only the named columns are read, one row group at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.pipelines.errors import DataError, is_out_of_memory
from gpts_data.pipelines.hub.remote_file import Prefetcher, RemoteFile, Span, prefetcher
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.columns import (
    BATCH_BYTES,
    BATCH_ROWS,
    check_schema,
    column_names,
    documents,
    is_text,
    plain_type,
    slices,
)
from gpts_data.pipelines.readers.parquet_footer import Footer
from gpts_data.pipelines.readers.source import Columns

# Bytes read at once from a local file. Without a buffer Arrow reads the column of a whole row group at once, which is
# right for a remote file, since exactly these ranges were prefetched.
BUFFER_BYTES = 1 << 20


def columns(file: IO[bytes], name: str, wanted: Sequence[str] = ()) -> set[str]:
    """The names of columns that hold one plain value per row and whose name occurs once; fields of structs as `a.b`.

    Raises `DataError` when one of the columns `wanted` is encrypted.
    """
    with _as_data_error(name):
        footer = Footer(file, name)
        found = column_names(footer.schema)
        footer.check_encryption([column for column in wanted if column in found])
        return found


def schema(file: IO[bytes], name: str) -> pa.Schema:
    """The columns of the file with their types."""
    with _as_data_error(name):
        return Footer(file, name).schema


def row_group_runs(file: IO[bytes], name: str, text: str, unit_bytes: int) -> list[tuple[int, int, int]]:
    """Consecutive row groups, divided into runs of at least `unit_bytes` bytes of text; the last may have fewer.

    Returns for each run its first row group, one past its last, and its uncompressed bytes of column `text`.
    """
    with _as_data_error(name):
        footer = Footer(file, name)
        sizes = [footer.column_bytes(group, [text]) for group in range(footer.n_groups)]
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
        footer = Footer(file, name)
        return sum(footer.column_bytes(group, [text]) for group in range(start, min(stop, footer.n_groups)))


def fetch_cost(file: IO[bytes], name: str, columns: Sequence[str], start: int, stop: int) -> tuple[int, int]:
    """The number of bytes, and of ranges, that reading these columns of row groups `start..stop` requests."""
    with _as_data_error(name):
        footer = Footer(file, name)
        spans = [span for group in range(start, stop) for span in footer.spans(group, columns)]
    return sum(end - begin for begin, end in spans), len(spans)


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    buckets: Sequence[damage.ScoreBounds] = (damage.ANY_SCORE,),
) -> Iterator[pa.RecordBatch]:
    """Row groups `start..stop` as batches of text, id, url, place, fault (see `reader.read`).

    A row group that does not decode gives the rows before the damage, then a row with a fault for each that is lost.
    """
    scores = damage.score_columns(buckets)
    with _as_data_error(name):
        footer = Footer(file, name)
        check_schema(footer.schema, name, names, scores)
    for group, row, batch in _decoded_groups(file, footer, range(start, stop), names, scores):
        if isinstance(batch, str):
            yield from _lost(name, group, row, footer.n_rows(group), batch, len(buckets))
            continue
        for part in slices(batch, names[0]):
            places = _places(name, group, row, row + part.num_rows)
            row += part.num_rows
            with _as_data_error(name):
                rows = documents(part, names, places, max_document_bytes, buckets)
            yield from rows


def _decoded_groups(
    file: IO[bytes], footer: Footer, groups: Iterable[int], names: Columns, scores: Sequence[str]
) -> Iterator[tuple[int, int, pa.RecordBatch | str]]:
    """Each batch with its row group and the number of its first row; where a row group ends, the fault of the rows
    that it lacks."""
    name = footer.name
    if not is_text(plain_type(footer.schema, names[0])):
        yield from ((group, 0, damage.DRIFT) for group in groups)
        return
    columns = list(dict.fromkeys(column for column in (*names, *scores) if column))
    with _as_data_error(name):
        size = file.seek(0, os.SEEK_END)
        spans = {group: _clipped(footer.spans(group, columns), size) for group in groups}
        reader = pq.ParquetFile(
            file,
            metadata=footer.metadata,
            pre_buffer=False,
            buffer_size=0 if isinstance(file, RemoteFile) else BUFFER_BYTES,
            page_checksum_verification=True,
        )
    remote = prefetcher(file)
    remote.prefetch(span for group_spans in spans.values() for span in group_spans)
    for group, group_spans in spans.items():
        remote.load_next(len(group_spans))  # here and not from within Arrow, which would not notice Ctrl-C
        row = 0
        n_rows = _batch_rows(footer, group, columns)
        for batch in _decoded(reader, remote, name, group, columns, group_spans, n_rows):
            yield group, row, batch
            row += batch.num_rows
        yield group, row, damage.DAMAGED_GROUP


def _batch_rows(footer: Footer, group: int, columns: Sequence[str]) -> int:
    """How many rows of a row group to decode at once: at most BATCH_ROWS, and some BATCH_BYTES on average."""
    return min(BATCH_ROWS, max(1, BATCH_BYTES * footer.n_rows(group) // max(footer.column_bytes(group, columns), 1)))


def _decoded(
    reader: pq.ParquetFile,
    remote: Prefetcher,
    name: str,
    group: int,
    columns: list[str],
    spans: list[Span],
    n_rows: int,
) -> Iterator[pa.RecordBatch]:
    """The batches of a row group, up to where it does not decode. A remote one is fetched and decoded twice, since the
    network may have damaged it."""
    done = 0
    for attempt in (1, 2):
        try:
            with _as_data_error(name):
                for i, batch in enumerate(reader.iter_batches(n_rows, row_groups=[group], columns=columns)):
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


def _lost(name: str, group: int, start: int, stop: int, fault: str, n_buckets: int) -> Iterator[pa.RecordBatch]:
    """Rows `start..stop` of a row group, none of which can be read, as rows with a fault, for each bucket."""
    for first in range(start, stop, BATCH_ROWS):
        last = min(first + BATCH_ROWS, stop)
        nulls = pa.nulls(last - first, pa.string())
        places = _places(name, group, first, last)
        columns = [nulls, nulls, nulls, places, _all(fault, last - first)]
        yield from [pa.RecordBatch.from_arrays(columns, schema=damage.SCHEMA)] * n_buckets


def _places(name: str, group: int, start: int, stop: int) -> pa.StringArray:
    return pa.array([f"{name}:{group}:{row}" for row in range(start, stop)], pa.string())


def _all(value: str, n: int) -> pa.StringArray:
    return pa.array([value] * n, pa.string())


@contextmanager
def _as_data_error(name: str) -> Iterator[None]:
    """Turn Arrow's errors about a damaged file into `DataError` with the file's name."""
    try:
        yield
    except (pa.ArrowException, KeyError, UnicodeDecodeError, OSError) as error:
        if is_out_of_memory(error):  # or of threads, which Arrow says in an ArrowException, too
            raise
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk; Arrow's own OSError for a damaged page has no errno
        raise DataError(f"{name}: not readable as parquet: {error}") from error

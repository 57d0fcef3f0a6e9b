"""CSV and TSV: a header row, then a document per row; quoted fields may hold newlines. A file is one unit.

Fields are quoted as RFC 4180 says: `"` around them, and `""` for a quote in them. Bytes are taken as latin-1 and turned
back, so that a field that is not UTF-8 costs only its own row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.columns import BATCH_BYTES, BATCH_ROWS, documents
from gpts_data.pipelines.readers.compression import DecompressionError, chunks
from gpts_data.pipelines.readers.kinds import TSV, format_of
from gpts_data.pipelines.readers.source import Columns

BOM = "\xef\xbb\xbf"  # of UTF-8, as latin-1
OTHER_FIELDS = 64 << 20  # most bytes of a row beside its text; a quote that is never closed reaches it

Row = list[str] | str
"""The fields of a row, or its fault."""


def columns(file: IO[bytes], name: str, wanted: Sequence[str] = ()) -> set[str]:
    """The names in the header row that occur once."""
    header = next(_rows(file, name, OTHER_FIELDS), [])
    return set() if isinstance(header, str) else {column for column in header if header.count(column) == 1}


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    buckets: Sequence[damage.ScoreBounds] = (damage.ANY_SCORE,),
) -> Iterator[pa.RecordBatch]:
    """The rows of the file as batches of text, id, url, place, fault (see `reader.read`).

    Places count rows from 0 after the header. Where a quote is not closed within `max_document_bytes` and 64 MB more,
    or the file breaks off, one row with a fault stands for the rest.
    """
    rows = _rows(file, name, max_document_bytes + OTHER_FIELDS)
    header = next(rows, [])
    if isinstance(header, str):
        yield from _documents([header], {}, [f"{name}:0"], names, max_document_bytes, [damage.ANY_SCORE] * len(buckets))
        return
    if not header:  # an empty file
        return
    indices = {column: header.index(column) for column in header if header.count(column) == 1}
    for column in filter(None, (*names[1:], *damage.score_columns(buckets))):
        if column not in indices:  # without their ids, documents would be deduplicated and held out differently
            raise DataError(f"{name}: no column {column!r} for id, url, at_least or below; found {', '.join(header)}")
    batch: list[Row] = []
    held = place = 0
    for number, row in enumerate(rows, 1):
        is_whole = isinstance(row, str) or len(row) == len(header)
        batch.append(row if is_whole else damage.BROKEN_ROW)
        held += sum(map(len, row))
        if len(batch) == BATCH_ROWS or held >= BATCH_BYTES:
            places = [f"{name}:{i}" for i in range(place, number)]
            yield from _documents(batch, indices, places, names, max_document_bytes, buckets)
            batch, held, place = [], 0, number
    if batch:
        places = [f"{name}:{i}" for i in range(place, place + len(batch))]
        yield from _documents(batch, indices, places, names, max_document_bytes, buckets)


def _rows(file: IO[bytes], name: str, limit: int) -> Iterator[Row]:
    """The rows that are not blank. A fault for one that breaks the rules of quotes, and for the rest of the file where
    it breaks off or a row exceeds `limit` bytes."""
    csv.field_size_limit(2**31 - 1)  # of the process; `_Lines` limits rows
    lines = _Lines(chunks(file, name), limit)
    reader = csv.reader(lines, delimiter="\t" if format_of(name) == TSV else ",", strict=True)
    while True:
        lines.row_bytes = 0
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield damage.BROKEN_ROW
        except (DecompressionError, _TooLongError) as error:
            yield str(error)
            return
        else:
            if row:
                yield row


class _TooLongError(Exception):
    """A row exceeds the limit. The message is the fault."""


class _Lines:
    """The lines of a file as latin-1, without the BOM. Raises `_TooLongError` when those of one row exceed `limit`."""

    def __init__(self, content: Iterator[bytes], limit: int) -> None:
        self._stream = io.BufferedReader(_Stream(content))
        self._limit = limit
        self._is_first = True
        self.row_bytes = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._limit + 1 - self.row_bytes)
        self.row_bytes += len(line)
        if self.row_bytes > self._limit:
            raise _TooLongError(damage.BROKEN_ROW)
        if not line:
            raise StopIteration
        text = line.decode("latin-1")
        if self._is_first:
            self._is_first = False
            text = text.removeprefix(BOM)
        return text


class _Stream(io.RawIOBase):
    """Pieces of bytes as a stream."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content, self._rest = content, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._content, b"")
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def _documents(
    rows: list[Row],
    indices: Mapping[str, int],
    places: list[str],
    names: Columns,
    max_document_bytes: int,
    buckets: Sequence[damage.ScoreBounds],
) -> list[pa.RecordBatch]:
    """Documents of rows for each bucket. The columns are at `indices`; a row that is a fault has no text."""
    arrays = {column: _column(rows, indices.get(column)) for column in names if column}
    for column in damage.score_columns(buckets):
        arrays[column] = pa.array([_score(row, indices[column]) for row in rows], pa.string())
    batch = pa.record_batch(list(arrays.values()), list(arrays))
    found = documents(batch, names, places, max_document_bytes, buckets)
    without_text = None if names[0] in indices else damage.DRIFT
    faults = pa.array([row if isinstance(row, str) else without_text for row in rows], pa.string())
    return [rows.set_column(4, "fault", pc.coalesce(faults, rows.column("fault"))) for rows in found]


def _column(rows: list[Row], i: int | None) -> pa.Array:
    """The bytes of a column; null for faulty rows and in a file without the column."""
    fields = [None if isinstance(row, str) or i is None else row[i].encode("latin-1") for row in rows]
    return pa.array(fields, pa.binary())


def _score(row: Row, i: int) -> str | None:
    """A score as a string, which is compared as one of a JSON line or a parquet file is."""
    return None if isinstance(row, str) else row[i].encode("latin-1").decode(errors="replace")

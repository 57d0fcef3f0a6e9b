"""JSON lines: plain, .zst or .gz. A unit of a plain file holds the lines that begin inside its byte range.

A line that is not a document becomes a row with a fault (damage.py). Where a compressed file breaks off, one row with a
fault stands for everything after it, since its size is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pyarrow as pa

from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.columns import BATCH_BYTES, BATCH_ROWS, json_label, json_names, json_value
from gpts_data.pipelines.readers.compression import CHUNK_BYTES, DecompressionError, chunks
from gpts_data.pipelines.readers.kinds import compression_of
from gpts_data.pipelines.readers.source import Columns

HEAD_BYTES = 16 << 20  # of a file, in which a column must occur; some 0.2 s to parse
ESCAPE = 6  # most bytes of JSON for one byte of text: \\u0001

Row = tuple[int, str | None, str | None, str | None, str | None]
"""Byte offset of the line, text, id, url, fault."""

Scores = Mapping[str, Any]
"""The scores of a row by column, as JSON has them."""

Lines = Iterator[tuple[int, bytes | str]]
"""Each line with its byte offset, or its fault."""


def columns(file: IO[bytes], name: str, wanted: Sequence[str] = ()) -> set[str]:
    """The keys of the first JSON objects, and those of the objects in them as `a.b`.

    Lines are read until all columns `wanted` were found, but at most HEAD_BYTES: writers such as Spark leave out nulls.
    """
    return first_keys(_lines(chunks(file, name), 0, ESCAPE * damage.MAX_DOCUMENT_BYTES), wanted)


def first_keys(lines: Lines, wanted: Sequence[str]) -> set[str]:
    """The columns of the first JSON objects among `lines`, as `columns` returns them."""
    found: set[str] = set()
    n_bytes = 0
    for offset, line in lines:
        row = _parse(line, offset) if isinstance(line, bytes) and line.strip() else None
        if isinstance(row, dict):
            found |= json_names(row, wanted)
        n_bytes += len(line)
        if n_bytes >= HEAD_BYTES or (found and found.issuperset(wanted)):
            break
    return found


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    buckets: Sequence[damage.ScoreBounds] = (damage.ANY_SCORE,),
) -> Iterator[pa.RecordBatch]:
    """Lines that begin in bytes `start..stop` as batches of text, id, url, place, fault (see `reader.read`).

    Places are byte offsets in the uncompressed file. A compressed file is read whole. A line too long to hold a text of
    at most `max_document_bytes` is skipped without being kept in memory.
    """
    lines = _unit_lines(file, name, start, stop, ESCAPE * max_document_bytes + CHUNK_BYTES)
    yield from documents(lines, name, names, max_document_bytes, buckets)


def documents(
    lines: Lines, name: str, names: Columns, max_document_bytes: int, buckets: Sequence[damage.ScoreBounds]
) -> Iterator[pa.RecordBatch]:
    """The JSON objects among `lines` of the file `name` as batches of text, id, url, place, fault."""
    rows: list[Row] = []
    scores: list[Scores] = []
    columns = damage.score_columns(buckets)
    n_bytes = 0
    for offset, line in lines:
        if isinstance(line, str):
            rows.append((offset, None, None, None, line))
            scores.append({})
        elif line.strip():
            row, row_scores = _row(line, offset, names, columns)
            rows.append(row)
            scores.append(row_scores)
        n_bytes += len(line)
        if len(rows) == BATCH_ROWS or n_bytes >= BATCH_BYTES:
            yield from _buckets(rows, scores, name, max_document_bytes, buckets)
            rows, scores, n_bytes = [], [], 0
    if rows:
        yield from _buckets(rows, scores, name, max_document_bytes, buckets)


def _buckets(
    rows: list[Row], scores: list[Scores], name: str, max_document_bytes: int, buckets: Sequence[damage.ScoreBounds]
) -> Iterator[pa.RecordBatch]:
    """The rows as a batch for each bucket, where those out of its bounds have a fault and no text."""
    for bounds in buckets:
        faults = [damage.score_fault(found, bounds) if found else None for found in scores]
        pairs = zip(rows, faults, strict=True)
        bucket = [(row[0], None, row[2], row[3], fault) if fault else row for row, fault in pairs]
        yield damage.flag_faults(_documents(bucket, name), max_document_bytes)


def _unit_lines(file: IO[bytes], name: str, start: int, stop: int, limit: int) -> Lines:
    if compression_of(name):
        yield from _lines(chunks(file, name), 0, limit)
        return
    file.seek(max(start - 1, 0))
    if start:  # a line that began before `start` belongs to the previous unit; reading from start - 1 finds its end
        start += _skip_line(file, stop - start + 1) - 1
        if start >= stop:
            return
    for offset, line in _lines(chunks(file, name), start, limit):
        if offset >= stop:
            return
        yield offset, line


def _skip_line(file: IO[bytes], most: int) -> int:
    """Skip to the end of the line, but not much more than `most` bytes. Returns the number of bytes skipped."""
    n = 0
    while n < most:
        part = file.readline(CHUNK_BYTES)
        n += len(part)
        if not part or part.endswith(b"\n"):
            break
    return n


def _lines(texts: Iterator[bytes], offset: int, limit: int) -> Lines:
    """Each line with its byte offset; a fault for a line longer than `limit`, and where `texts` breaks off."""
    parts: list[bytes] = []  # of the incomplete line, dropped once `length`, its bytes so far, exceeds `limit`
    length = 0
    try:
        for text in texts:
            *line_ends, rest = text.split(b"\n")
            for line_end in line_ends:
                length += len(line_end)
                parts.append(line_end)
                yield offset, b"".join(parts) if length <= limit else damage.OVERSIZED
                parts.clear()
                offset, length = offset + length + 1, 0
            length += len(rest)
            parts.append(rest)
            if length > limit:
                parts.clear()
    except DecompressionError as error:
        yield offset, str(error)
        return
    if length:
        yield offset, b"".join(parts) if length <= limit else damage.OVERSIZED


def _row(line: bytes, offset: int, names: Columns, columns: Sequence[str]) -> tuple[Row, Scores]:
    """The document of a line, and its scores in these columns if it has a text."""
    row = _parse(line, offset)
    if isinstance(row, str):
        return (offset, None, None, None, row), {}
    text, id_, url = names
    id_label = json_label(json_value(row, id_)) if id_ else None
    url_label = json_label(json_value(row, url)) if url else None
    value = json_value(row, text)
    if value is not None and not isinstance(value, str):
        return (offset, None, id_label, url_label, damage.NOT_STRING), {}
    scores = {column: json_value(row, column) for column in columns} if value else {}
    return (offset, value, id_label, url_label, None), scores


def _parse(line: bytes, offset: int) -> dict[str, Any] | str:
    """The JSON object of a line, or the fault of the line."""
    try:
        text = line.decode("utf-8" if offset else "utf-8-sig")  # json.loads would take some bytes for UTF-16
        row = _load(text)
    except UnicodeDecodeError:
        return damage.NOT_UTF8
    except (ValueError, RecursionError):
        return damage.BROKEN_LINE
    return row if isinstance(row, dict) else damage.BROKEN_LINE


def _load(text: str) -> Any:
    """Parse JSON; if it is nested too deeply for this stack, on a new thread's, whatever the caller's depth."""
    try:
        return json.loads(text)
    except RecursionError:
        with ThreadPoolExecutor(1) as new_thread:
            return new_thread.submit(json.loads, text).result()


def _documents(rows: list[Row], name: str) -> pa.RecordBatch:
    try:
        return _batch(rows, name)
    except UnicodeEncodeError:  # half a surrogate pair, from a JSON escape
        return _batch([_without_surrogates(row) for row in rows], name)


def _batch(rows: list[Row], name: str) -> pa.RecordBatch:
    offsets, text, id_, url, fault = zip(*rows, strict=True)
    places = [f"{name}:{offset}" for offset in offsets]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, pa.string()) for column in (text, id_, url, places, fault)], schema=damage.SCHEMA
    )


def _without_surrogates(row: Row) -> Row:
    """The row, with a fault and without its text if a value is not valid Unicode."""
    offset, text, id_, url, fault = row
    if not _is_unicode(text):
        fault = damage.NOT_UTF8
    if not _is_unicode(id_):
        id_, fault = None, damage.INVALID_ID
    if not _is_unicode(url):
        url, fault = None, damage.INVALID_URL
    return offset, None if fault else text, id_, url, fault


def _is_unicode(value: str | None) -> bool:
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        return False
    return True

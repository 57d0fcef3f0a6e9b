"""JSON lines: plain, .zst or .gz. A unit of a plain file holds the lines that begin inside its byte range.

A line that is not a document becomes a row with a fault (damage.py). Where a compressed file breaks off, one row with a
fault stands for everything after it, since its size is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pyarrow as pa

from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.compression import CHUNK_BYTES, DecompressionError, chunks
from gpts_data.pipelines.readers.kinds import compression_of
from gpts_data.pipelines.readers.source import NO_SCORES, Columns

BATCH_ROWS = 1000
BATCH_BYTES = 16 << 20  # of lines: a thousand of the longest allowed would be 8 GB
ESCAPE = 6  # most bytes of JSON for one byte of text: \\u0001

Row = tuple[int, str | None, str | None, str | None, str | None]
"""Byte offset of the line, text, id, url, fault."""


def columns(file: IO[bytes], name: str) -> set[str]:
    """The keys of the first line that is a JSON object."""
    for offset, line in _lines(chunks(file, name), 0, ESCAPE * damage.MAX_DOCUMENT_BYTES):
        row = _parse(line, offset) if isinstance(line, bytes) and line.strip() else None
        if isinstance(row, dict):
            return set(row)
    return set()


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    at_least: Mapping[str, float] = NO_SCORES,
) -> Iterator[pa.RecordBatch]:
    """Lines that begin in bytes `start..stop` as batches of text, id, url, place, fault (see `reader.read`).

    Places are byte offsets in the uncompressed file. A compressed file is read whole. A line too long to hold a text of
    at most `max_document_bytes` is skipped without being kept in memory.
    """
    rows: list[Row] = []
    held = 0
    for offset, line in _unit_lines(file, name, start, stop, ESCAPE * max_document_bytes + CHUNK_BYTES):
        if isinstance(line, str):
            rows.append((offset, None, None, None, line))
        elif line.strip():
            rows.append(_row(line, offset, names, at_least))
        held += len(line)
        if len(rows) == BATCH_ROWS or held >= BATCH_BYTES:
            yield damage.flag_faults(_documents(rows, name), max_document_bytes)
            rows, held = [], 0
    if rows:
        yield damage.flag_faults(_documents(rows, name), max_document_bytes)


def _unit_lines(file: IO[bytes], name: str, start: int, stop: int, limit: int) -> Iterator[tuple[int, bytes | str]]:
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


def _lines(texts: Iterator[bytes], offset: int, limit: int) -> Iterator[tuple[int, bytes | str]]:
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


def _row(line: bytes, offset: int, names: Columns, at_least: Mapping[str, float]) -> Row:
    row = _parse(line, offset)
    if isinstance(row, str):
        return offset, None, None, None, row
    text, id_, url = names
    labels = _label(row, id_), _label(row, url)
    if text not in row:
        return offset, None, *labels, damage.DRIFT
    value = row[text]
    if value is not None and not isinstance(value, str):
        return offset, None, *labels, damage.NOT_STRING
    low = next((column for column, least in at_least.items() if not _is_enough(row.get(column), least)), None)
    return (offset, None, *labels, f"low_{low}") if low and value else (offset, value, *labels, None)


def _is_enough(score: Any, least: float) -> bool:
    return isinstance(score, int | float) and score >= least


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


def _label(row: dict[str, Any], column: str | None) -> str | None:
    value = row.get(column) if column else None
    return None if value is None else str(value)


def _documents(rows: list[Row], name: str) -> pa.RecordBatch:
    try:
        return _batch(rows, name)
    except UnicodeEncodeError:  # half a surrogate pair, from a JSON escape
        return _batch([row if _is_unicode(row) else (row[0], None, None, None, damage.NOT_UTF8) for row in rows], name)


def _batch(rows: list[Row], name: str) -> pa.RecordBatch:
    offsets, text, id_, url, fault = zip(*rows, strict=True)
    places = [f"{name}:{offset}" for offset in offsets]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, pa.string()) for column in (text, id_, url, places, fault)], schema=damage.SCHEMA
    )


def _is_unicode(row: Row) -> bool:
    try:
        "".join(value for value in row[1:] if value).encode()
    except UnicodeEncodeError:
        return False
    return True

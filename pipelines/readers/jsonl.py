"""JSON lines: plain, .zst or .gz. A unit of a plain file holds the lines that begin inside its byte range.

A line that is no document is a row with a fault (damage.py). Where a compressed file breaks, one row with a fault
stands for all that follows: nobody can know how much that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import pyarrow as pa

from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.compression import CHUNK_BYTES, COMPRESSED, DecompressionError, chunks
from gpts_data.pipelines.readers.source import NO_SCORES, Columns

BATCH_ROWS = 1000
BATCH_BYTES = 16 << 20  # of lines: a thousand of the longest would be 8 GB
ESCAPE = 6  # bytes of JSON that may stand for one byte of text: \\u0001

Row = tuple[int, str | None, str | None, str | None, str | None]
"""Where a line begins; then text, id, url, fault."""


def columns(file: IO[bytes], name: str) -> set[str]:
    """The keys of the first sound document."""
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
    """Lines that begin in bytes `start..stop` as batches of text, id, url, place, fault (see `sources.read`).

    Places count bytes of the uncompressed file; a compressed file is read whole. A line that can hold no text of
    `max_document_bytes` or fewer is passed over without being held.
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
    if name.endswith(COMPRESSED):
        yield from _lines(chunks(file, name), 0, limit)
        return
    file.seek(max(start - 1, 0))
    if start:  # the line that reaches into this unit began in the one before, unless it ended just there
        start += _skip_line(file, stop - start + 1) - 1
        if start >= stop:
            return
    for offset, line in _lines(chunks(file, name), start, limit):
        if offset >= stop:
            return
        yield offset, line


def _skip_line(file: IO[bytes], most: int) -> int:
    """The bytes up to and with the next newline, passed over; about `most` when there is none so soon."""
    n = 0
    while n < most:
        part = file.readline(CHUNK_BYTES)
        n += len(part)
        if not part or part.endswith(b"\n"):
            break
    return n


def _lines(texts: Iterator[bytes], offset: int, limit: int) -> Iterator[tuple[int, bytes | str]]:
    """Each line with the byte where it begins; a fault for one longer than `limit`, and where the texts break off."""
    parts: list[bytes] = []  # of the line that is not complete yet, while they are few enough; `length` counts all
    length = 0
    try:
        for text in texts:
            *whole, rest = text.split(b"\n")
            for end in whole:
                length += len(end)
                parts.append(end)
                yield offset, b"".join(parts) if length <= limit else damage.OVERSIZED
                parts.clear()
                offset, length = offset + length + 1, 0
            length += len(rest)
            parts.append(rest)
            if length > limit:
                parts.clear()
    except DecompressionError as broken:
        yield offset, str(broken)
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
    """The JSON object of a line, or its fault."""
    try:
        text = line.decode("utf-8" if offset else "utf-8-sig")  # given bytes, json guesses UTF-16 too
        row = _load(text)
    except UnicodeDecodeError:
        return damage.NOT_UTF8
    except (ValueError, RecursionError):
        return damage.BROKEN_LINE
    return row if isinstance(row, dict) else damage.BROKEN_LINE


def _load(text: str) -> Any:
    """How deep JSON may be nested depends on how deep the caller is; on a stack of its own it does not."""
    try:
        return json.loads(text)
    except RecursionError:
        with ThreadPoolExecutor(1) as fresh:
            return fresh.submit(json.loads, text).result()


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

"""JSON lines: plain, .zst or .gz. A unit of a plain file holds the lines that begin inside its byte range."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import zstandard

from gpts_data.pipelines.errors import DataError

COMPRESSED = (".zst", ".gz")
CHUNK_BYTES = 1 << 20
BATCH_ROWS = 1000

Names = tuple[str, str | None, str | None]
"""The source's names for text, id and url."""


def columns(file: IO[bytes], name: str) -> set[str]:
    """The keys of the first document."""
    for offset, line in _lines(_chunks(file, name), 0):
        if line.strip():
            return set(_parse(line, name, offset))
    return set()


def read(file: IO[bytes], name: str, start: int, stop: int, names: Names) -> Iterator[pa.RecordBatch]:
    """Lines that begin in bytes `start..stop` as batches of text, id, url, place (see `sources.read`).

    Places count bytes of the uncompressed file; a compressed file is read whole.
    """
    rows: list[tuple[int, dict[str, Any]]] = []
    for offset, line in _unit_lines(file, name, start, stop):
        if line.strip():
            rows.append((offset, _parse(line, name, offset)))
        if len(rows) == BATCH_ROWS:
            yield _documents(rows, name, names)
            rows = []
    if rows:
        yield _documents(rows, name, names)


def _unit_lines(file: IO[bytes], name: str, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
    if name.endswith(COMPRESSED):
        yield from _lines(_chunks(file, name), 0)
        return
    file.seek(max(start - 1, 0))
    if start:  # the line that reaches into this unit began in the one before, unless it ended just there
        start += len(file.readline()) - 1
    for offset, line in _lines(_chunks(file, name), start):
        if offset >= stop:
            return
        yield offset, line


def _lines(chunks: Iterator[bytes], offset: int) -> Iterator[tuple[int, bytes]]:
    """Each line with the byte where it begins."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield offset, line
            offset += len(line) + 1
    if rest:
        yield offset, rest


def _chunks(file: IO[bytes], name: str) -> Iterator[bytes]:
    if name.endswith(".zst"):
        yield from _zstd_chunks(file, name)
    elif name.endswith(".gz"):
        try:
            with gzip.open(file, "rb") as plain:
                while chunk := plain.read(CHUNK_BYTES):
                    yield chunk
            if not file.tell():
                raise EOFError("the file is empty")
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{name}: damaged gzip: {error}") from error
    else:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _zstd_chunks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Frame by frame, since zstandard's stream reader takes a cut file for a finished one."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    begun = True  # text of no lines is a frame too: a file without one was cut short
    try:
        while chunk := file.read(CHUNK_BYTES):
            while chunk:
                begun = True
                yield frame.decompress(chunk)
                if not frame.eof:
                    break
                chunk, begun = frame.unused_data, False
                frame = zstandard.ZstdDecompressor().decompressobj()
    except zstandard.ZstdError as error:
        raise DataError(f"{name}: damaged zstd frame: {error}") from error
    if begun:
        raise DataError(f"{name}: the file ends inside a zstd frame; it was cut short, fetch it again")


def _parse(line: bytes, name: str, offset: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: broken line at byte {offset:,}: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{name}: line at byte {offset:,} holds {type(row).__name__}, expected a JSON object")
    return row


def _documents(rows: list[tuple[int, dict[str, Any]]], name: str, names: Names) -> pa.RecordBatch:
    text, id_, url = names
    try:
        arrays = [
            pa.array([_text(row.get(text), name, offset) for offset, row in rows], pa.string()),
            *(pa.array([_label(row, column) for _, row in rows], pa.string()) for column in (id_, url)),
            pa.array([f"{name}:{offset}" for offset, _ in rows], pa.string()),
        ]
    except UnicodeEncodeError as error:
        if len(rows) > 1:
            for row in rows:  # the one that cannot be encoded names itself
                _documents([row], name, names)
        raise DataError(f"{name}: broken line at byte {rows[0][0]:,}: {error}") from error
    return pa.RecordBatch.from_arrays(arrays, names=["text", "id", "url", "place"])


def _text(value: Any, name: str, offset: int) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise DataError(f"{name}: the text of the line at byte {offset:,} is {type(value).__name__}, expected a string")


def _label(row: dict[str, Any], column: str | None) -> str | None:
    value = row.get(column) if column else None
    return None if value is None else str(value)

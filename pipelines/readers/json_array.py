"""`.json` files: an array of objects, each a document, or else JSON lines, which jsonl.py reads.

An array is one unit. Only the object that is being parsed is in memory, not the array.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO

import pyarrow as pa

from gpts_data.pipelines.readers import damage, jsonl
from gpts_data.pipelines.readers.compression import CHUNK_BYTES, DecompressionError, chunks
from gpts_data.pipelines.readers.source import Columns

BLANK = " \t\r\n"


def is_array(file: IO[bytes], name: str) -> bool:
    """Whether the first character that is not blank is a bracket."""
    file.seek(0)
    try:
        for text in chunks(file, name):
            if start := text.removeprefix(codecs.BOM_UTF8).lstrip():
                return start.startswith(b"[")
    except DecompressionError:
        pass
    return False


def columns(file: IO[bytes], name: str, wanted: Sequence[str] = ()) -> set[str]:
    """The keys of the first objects, as in `jsonl.columns`."""
    array = is_array(file, name)
    file.seek(0)
    if not array:
        return jsonl.columns(file, name, wanted)
    return jsonl.first_keys(_items(chunks(file, name), jsonl.ESCAPE * damage.MAX_DOCUMENT_BYTES), wanted)


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    buckets: Sequence[damage.ScoreBounds] = (damage.ANY_SCORE,),
) -> Iterator[pa.RecordBatch]:
    """The objects of the array, or the lines that begin in bytes `start..stop`, as `jsonl.read` gives them.

    Places are the bytes where they begin, uncompressed. In an array, one row with a fault stands for everything from a
    syntax error on, or from an object that cannot hold a text of at most `max_document_bytes`.
    """
    array = start == 0 and is_array(file, name)
    file.seek(0)
    if not array:
        yield from jsonl.read(file, name, start, stop, names, max_document_bytes, buckets)
        return
    items = _items(chunks(file, name), jsonl.ESCAPE * max_document_bytes + CHUNK_BYTES)
    yield from jsonl.documents(items, name, names, max_document_bytes, buckets)


def _items(texts: Iterator[bytes], limit: int) -> Iterator[tuple[int, bytes | str]]:
    """Each item of the array with its byte offset, as JSON; a fault where the array breaks off."""
    window = _Window(texts)
    expected = "["
    try:
        while True:
            mark = window.mark()
            if mark == "]" and expected == ",":
                return
            if mark != expected:
                break
            if mark == "[" and window.mark(peek=True) == "]":
                return
            item = window.item(limit)
            if item is None:
                break
            yield item
            expected = ","
    except DecompressionError as error:
        yield window.offset, str(error)
        return
    yield window.offset, damage.BROKEN_LINE


class _Window:
    """The part of a file that is being parsed, as latin-1, in which an item that is not UTF-8 is parsed like others."""

    def __init__(self, texts: Iterator[bytes]) -> None:
        self._texts = texts
        first = next(texts, b"")
        self._text = first.removeprefix(codecs.BOM_UTF8).decode("latin-1")
        self._dropped = len(first) - len(self._text)
        self._start = 0
        self._decoder = json.JSONDecoder(strict=False)

    @property
    def offset(self) -> int:
        """The byte of the file that comes next."""
        return self._dropped + self._start

    def mark(self, peek: bool = False) -> str:
        """The next character that is not blank; empty at the end of the file. It is passed unless `peek`."""
        while True:
            while self._start < len(self._text):
                mark = self._text[self._start]
                if mark not in BLANK:
                    self._start += not peek
                    return mark
                self._start += 1
            if not self._extend():
                return ""

    def item(self, limit: int) -> tuple[int, bytes] | None:
        """The JSON value that comes next, with its byte offset; None if there is none of at most `limit` bytes."""
        self.mark(peek=True)
        while True:
            with suppress(ValueError, RecursionError):
                _, end = self._decoder.raw_decode(self._text, self._start)
                if end < len(self._text) or self._text[end - 1] == "}":  # else it may be part of a longer number
                    item = self.offset, self._text[self._start : end].encode("latin-1")
                    self._start = end
                    return item
            if len(self._text) - self._start > limit or not self._extend():
                return None

    def _extend(self) -> bool:
        """Drop what was passed and read on, as much as is left, so that a long item is not parsed too often."""
        parts = [self._text[self._start :]]
        self._dropped += self._start
        needed = len(parts[0]) + 1
        while needed > 0 and (text := next(self._texts, b"")):
            parts.append(text.decode("latin-1"))
            needed -= len(text)
        self._text, self._start = "".join(parts), 0
        return len(parts) > 1

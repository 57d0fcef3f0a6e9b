"""Text files: each is one document, whole. Its only column is `text`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

import pyarrow as pa

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.compression import DecompressionError, chunks
from gpts_data.pipelines.readers.source import Columns

COLUMN = "text"


def columns(file: IO[bytes], name: str, wanted: Sequence[str] = ()) -> set[str]:
    """The only column, `text`."""
    return {COLUMN}


def read(
    file: IO[bytes],
    name: str,
    start: int,
    stop: int,
    names: Columns,
    max_document_bytes: int = damage.MAX_DOCUMENT_BYTES,
    buckets: Sequence[damage.ScoreBounds] = (damage.ANY_SCORE,),
) -> Iterator[pa.RecordBatch]:
    """The file's text as a batch of one row: text, id, url, place, fault (see `reader.read`). A BOM is left out.

    No more than `max_document_bytes` of it are kept in memory.
    """
    if names[1:] != (None, None) or damage.score_columns(buckets) or names[0] != COLUMN:
        raise DataError(f"{name}: a text file has only the column {COLUMN!r}; leave out id, url, at_least and below")
    text, fault = _text(file, name, max_document_bytes)
    row = [text], [None], [None], [f"{name}:0"], [fault]
    batch = pa.RecordBatch.from_arrays([pa.array(value, pa.string()) for value in row], schema=damage.SCHEMA)
    yield from [damage.flag_faults(batch, max_document_bytes)] * len(buckets)


def _text(file: IO[bytes], name: str, limit: int) -> tuple[str | None, str | None]:
    """The text, or else its fault."""
    parts: list[bytes] = []
    size = 0
    try:
        for part in chunks(file, name):
            parts.append(part)
            size += len(part)
            if size > limit + 3:  # a BOM
                return None, damage.OVERSIZED
        return b"".join(parts).decode("utf-8-sig"), None
    except UnicodeDecodeError:
        return None, damage.NOT_UTF8
    except DecompressionError as error:
        return None, str(error)

"""The way from a document to its windows: which places of the training order it is in.

One binary search in the index of each document table finds a document among 20 million; other tables are not read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.mixer.format.document_index import find_rows
from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import positions_of
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import open_arrow


@dataclass(frozen=True)
class WindowSpan:
    """A window of the document's source, where in the training order it is, pass by pass, and what of it is the
    document's: tokens `start` to `stop`."""

    window: int
    positions: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class DocumentLocation:
    """A document of the mix: held out, or in these windows. `tokens` counts its end-of-text."""

    source: str
    document_id: str
    url: str | None
    unit: str
    revision: str | None
    tokens: int
    held_out: bool
    windows: tuple[WindowSpan, ...]


def find_documents(mix: Mix, document_id: str) -> list[DocumentLocation]:
    """Every document of that id, in the order of sources and streams. Raises `UsageError` when there is none."""
    found = [
        _whereabouts(mix, name, row, held_out)
        for name in mix.sources
        for held_out in (False, True)
        for path in _tables(mix, name, held_out)
        for row in _rows(path, document_id)
    ]
    if not found:
        raise UsageError(
            f"no document {document_id!r} in {mix.path}: {_why_dropped(mix, document_id)}; "
            "`gpts-data trace --token N` shows how ids look"
        )
    return found


def _why_dropped(mix: Mix, document_id: str) -> str:
    """Of the few documents that are kept for show the reason."""
    for source in mix.sources:
        path = mix.path / "dropped" / f"{source}.jsonl"
        for row in map(json.loads, path.read_bytes().splitlines()) if path.exists() else ():
            if row["id"] == document_id:
                return f"{source} has it, and it was dropped: {row['reason']} (dropped/{source}.jsonl)"
    return "it was dropped, not read, or has another id"


def _tables(mix: Mix, source: str, held_out: bool) -> list[Path]:
    files = mix.manifest["files"]
    if held_out:
        return [mix.path / file["file"] for file in files if file["file"] == f"validation/{source}.parquet"]
    return [mix.path / table["file"] for table in document_tables(files, source)]


def _rows(table: Path, document_id: str) -> Iterator[dict[str, Any]]:
    rows = find_rows(table, document_id)
    if len(rows):
        with open_arrow(table) as content:
            found = pq.read_table(content).take(pa.array(rows)).to_pylist()
        yield from (row for row in found if row["id"] == document_id)


def _whereabouts(mix: Mix, source: str, row: dict[str, Any], held_out: bool) -> DocumentLocation:
    number = mix.sources.index(source)
    places = () if held_out else tuple(_places(mix, number, row["start"], row["start"] + row["tokens"]))
    return DocumentLocation(
        source,
        row["id"],
        row["url"],
        row["unit"],
        mix.manifest["sources"][source]["revision"],
        row["tokens"],
        held_out,
        places,
    )


def _places(mix: Mix, source: int, start: int, stop: int) -> Iterator[WindowSpan]:
    """The windows with tokens `start..stop` of a source's stream; a document's end may be behind the last one."""
    order, size = mix.epoch_order(source), mix.window
    for window in range(start // size, min(-(-stop // size), order.windows)):
        slots, _ = order.slots_of(np.array([window]))
        first = window * size
        yield WindowSpan(
            window, tuple(positions_of(mix, source, slots).tolist()), max(start - first, 0), min(stop - first, size)
        )

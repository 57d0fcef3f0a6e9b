"""From a document to its windows: where in the training order it is.

A binary search in the index of each document table finds a document among 20 million; only tables with a hit are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from gpts_data.mixer.format.document_index import find_rows, index_name
from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.manifest_types import FileEntry
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.outcomes import find_dropped
from gpts_data.mixer.format.training_order import positions_of
from gpts_data.pipelines.errors import UsageError, VerificationError


@dataclass(frozen=True)
class WindowSpan:
    """The part of a document that one window holds."""

    window: int
    """Number of the window in the source's stream."""
    positions: tuple[int, ...]
    """Positions of the window in the training order, one for each epoch that has it."""
    start: int
    """First token of the window that belongs to the document."""
    stop: int
    """End of the document's tokens in the window (exclusive)."""


@dataclass(frozen=True)
class DocumentLocation:
    """A document of the mix, and the windows that hold it."""

    source: str
    """Name of its source."""
    document_id: str
    """Its id in the source."""
    url: str | None
    """Its URL, where the source has one."""
    unit: str
    """Part of the source that it was read in: `<file>:<start>-<stop>`, row groups or bytes."""
    revision: str | None
    """Commit of the hub dataset; None for local files."""
    start: int
    """Its first token in the stream of the source's training documents, or of its held-out documents."""
    tokens: int
    """Number of its tokens, end-of-text included."""
    held_out: bool
    """Whether it is in the validation set. It is then in no training window."""
    leftover_tokens: int
    """Number of its last tokens that lie after the last window of its source, and so in no window."""
    windows: tuple[WindowSpan, ...]
    """The training windows that hold its tokens, in stream order."""


def find_documents(mix: Mix, document_id: str) -> list[DocumentLocation]:
    """Every document of the mix with this id, by source, training documents first, in canonical order.

    Raises `UsageError` when the mix has none; the message gives the reason why the document was dropped.
    """
    documents = locate(mix, document_id)
    if not documents:
        raise UsageError(f"no document {document_id!r} in {mix.path}: {_why_dropped(mix, document_id)}")
    return documents


def locate(mix: Mix, document_id: str) -> list[DocumentLocation]:
    """As `find_documents`; an empty list when the mix has no document with this id."""
    return [
        _location(mix, name, row, held_out)
        for name in mix.sources
        for held_out in (False, True)
        for entry in table_entries(mix, name, held_out)
        for row in _rows(mix, entry, document_id)
    ]


def _why_dropped(mix: Mix, document_id: str) -> str:
    for document in find_dropped(mix, document_id):
        return f"{document.source} has it, and it was dropped: {document.outcome.reason}"
    return "it was not read, or has another id; `gpts-data trace --token N` shows how ids look"


def table_entries(mix: Mix, source: str, held_out: bool) -> list[FileEntry]:
    """The manifest's entries of a source's document tables: of its training or of its held-out documents."""
    files = mix.manifest["files"]
    if held_out:
        return [file for file in files if file["file"] == f"validation/{source}.parquet"]
    return document_tables(files, source)


def _rows(mix: Mix, entry: FileEntry, document_id: str) -> Iterator[dict[str, Any]]:
    folder, _, name = entry["file"].rpartition("/")
    index = mix.array(f"{folder}/{index_name(name)}", np.dtype("<u8"), entry["documents"])
    candidates = find_rows(index, document_id)
    if len(candidates):
        if candidates.max() >= len(index):
            raise VerificationError(
                f"{mix.path / entry['file']}: its index names row {candidates.max():,} of {len(index):,}; "
                f"run gpts-data verify {mix.path}"
            )
        rows = mix.table(entry).take(pa.array(candidates)).to_pylist()
        yield from (row for row in rows if row["id"] == document_id)


def _location(mix: Mix, source: str, row: dict[str, Any], held_out: bool) -> DocumentLocation:
    number, stop = mix.sources.index(source), row["start"] + row["tokens"]
    counts = mix.manifest["sources"][source]
    n_windows = counts["validation"]["windows"] if held_out else counts["pass_windows"]
    leftover = (counts["validation"] if held_out else counts)["leftover_tokens"]
    if stop > n_windows * mix.window + leftover:
        raise VerificationError(
            f"{mix.path}: document {row['id']!r} of {source} ends at token {stop:,}, after the end of its source; run "
            f"gpts-data verify {mix.path}"
        )
    spans = () if held_out else tuple(_spans(mix, number, row["start"], stop))
    return DocumentLocation(
        source=source,
        document_id=row["id"],
        url=row["url"],
        unit=row["unit"],
        revision=mix.manifest["sources"][source]["revision"],
        start=row["start"],
        tokens=row["tokens"],
        held_out=held_out,
        leftover_tokens=min(max(stop - n_windows * mix.window, 0), row["tokens"]),
        windows=spans,
    )


def _spans(mix: Mix, source: int, start: int, stop: int) -> Iterator[WindowSpan]:
    """The windows that hold tokens `start` to `stop` of a source's stream; its last document may end after them."""
    order, size = mix.epoch_order(source), mix.window
    for window in range(start // size, min(-(-stop // size), order.windows)):
        slots, _ = order.slots_of(np.array([window]))
        first_token = window * size
        yield WindowSpan(
            window=window,
            positions=tuple(positions_of(mix, source, slots).tolist()),
            start=max(start - first_token, 0),
            stop=min(stop - first_token, size),
        )

"""TRACE: from a token of the training order back to its document. The way there: find_document.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import positions_of, sidecar
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import open_arrow
from gpts_data.tokenizer.encode import Encoder


@dataclass(frozen=True)
class Origin:
    """Where a token came from."""

    source: str
    document_id: str
    url: str | None
    unit: str
    """The part of the source that was read as one: `<file>:<first>-<behind the last>`, of row groups or of bytes."""
    document_token_offset: int
    """Tokens of the document before this one."""
    revision: str | None
    window_of_source: int
    """The number of its window in the source's stream."""
    token_id: int
    text: str
    """The document, as far as it is in the mix."""


def trace(mix: Mix, token: int) -> Origin:
    """The origin of token `token` of the training order, counted from 0. Raises `UsageError` when there is none."""
    if not 0 <= token < mix.tokens:
        raise UsageError(f"token {token:,}: the mix has tokens 0 to {mix.tokens - 1:,}")
    row, column = divmod(token, mix.window)
    shard, row = mix.locate(row)
    source, window = sidecar(mix, shard)[row].tolist()
    place = window * mix.window + column
    document = find_document(mix, mix.sources[source], place)
    ids = stream(mix, source, document["start"], document["start"] + document["tokens"])
    facts = mix.manifest["sources"][mix.sources[source]]
    return Origin(
        source=mix.sources[source],
        document_id=document["id"],
        url=document["url"],
        unit=document["unit"],
        document_token_offset=place - document["start"],
        revision=facts["revision"],
        window_of_source=window,
        token_id=int(mix.row(shard, row)[column]),
        text=Encoder(mix.tokenizer).decode(ids),
    )


def find_document(mix: Mix, source: str, place: int) -> dict[str, Any]:
    """The document of a source that holds the token at `place` of its stream: its row of the document table."""
    tables = document_tables(mix.manifest["files"], source)
    starts = [file["start"] for file in tables]
    file = tables[int(np.searchsorted(starts, place, side="right")) - 1]
    with open_arrow(mix.path / file["file"]) as content:
        table = pq.read_table(content)
    row = int(np.searchsorted(table.column("start").to_numpy(), place, side="right")) - 1
    return dict(table.slice(row, 1).to_pylist()[0])


def stream(mix: Mix, source: int, start: int, stop: int) -> NDArray[np.uint16]:
    """Ids `start..stop` of a source's stream, as far as the mix has them: uint16."""
    order, size = mix.epoch_order(source), mix.window
    first, last = start // size, min(-(-stop // size), order.windows)
    rows = []
    for position in positions_of(mix, source, order.first_epoch_slots(np.arange(first, last))).tolist():
        shard, row = mix.locate(position)
        rows.append(mix.row(shard, row))
    return np.concatenate(rows)[start - first * size : stop - first * size]

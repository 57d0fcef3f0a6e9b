"""TRACE: from a token of the training order back to its document. The way there: whereabouts.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.mix import Mix
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import load_npy, reading
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
    shard, row = locate(mix, row)
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


def token_number(mix: Mix, shard: int, row: int) -> int:
    """The number in the training order of the first token of a shard's row. Raises `UsageError`."""
    shards = mix.manifest["shards"]
    if not 0 <= shard < len(shards):
        raise UsageError(f"shard {shard}: the mix has shards 0 to {len(shards) - 1}")
    if not 0 <= row < shards[shard]["windows"]:
        raise UsageError(f"row {row:,}: shard {shard} has rows 0 to {shards[shard]['windows'] - 1:,}")
    return int((sum(s["windows"] for s in shards[:shard]) + row) * mix.window)


def locate(mix: Mix, position: int) -> tuple[int, int]:
    """Shard and row of a position of the training order."""
    ends = np.cumsum([shard["windows"] for shard in mix.manifest["shards"]])
    shard = int(np.searchsorted(ends, position, side="right"))
    return shard, position - (int(ends[shard - 1]) if shard else 0)


def sidecar(mix: Mix, shard: int) -> NDArray[Any]:
    """The sidecar of a shard: source number and window number of each row; memory-mapped."""
    return load_npy(mix.shards[shard].with_suffix(".windows.npy"))


def find_document(mix: Mix, source: str, place: int) -> dict[str, Any]:
    """The document of a source that holds the token at `place` of its stream: its row of the document table."""
    prefix = f"documents/{source}/"
    tables = [f for f in mix.manifest["files"] if f["file"].startswith(prefix) and f["file"].endswith(".parquet")]
    starts = [file["start"] for file in tables]
    file = tables[int(np.searchsorted(starts, place, side="right")) - 1]
    with reading(mix.path / file["file"]) as content:
        table = pq.read_table(content)
    row = int(np.searchsorted(table.column("start").to_numpy(), place, side="right")) - 1
    return dict(table.slice(row, 1).to_pylist()[0])


def stream(mix: Mix, source: int, start: int, stop: int) -> NDArray[np.uint16]:
    """Ids `start..stop` of a source's stream, as far as the mix has them: uint16."""
    order, size = mix.passes(source), mix.window
    first, last = start // size, min(-(-stop // size), order.windows)
    rows = []
    for position in positions_of(mix, source, order.first(np.arange(first, last))).tolist():
        shard, row = locate(mix, position)
        rows.append(mix.row(shard, row))
    return np.concatenate(rows)[start - first * size : stop - first * size]


def positions_of(mix: Mix, source: int, slots: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where in the training order a source's slots are: int64, shape (len(slots),). Reads one sidecar a shard."""
    shards = mix.manifest["shards"]
    before = np.cumsum([0, *(shard["sources"][mix.sources[source]] for shard in shards)])
    starts = np.cumsum([0, *(shard["windows"] for shard in shards)])
    which = np.searchsorted(before, slots, side="right") - 1
    found = np.empty(len(slots), np.int64)
    for shard in np.unique(which).tolist():
        mine = np.flatnonzero(sidecar(mix, shard)["source"] == source)
        found[which == shard] = starts[shard] + mine[slots[which == shard] - before[shard]]
    return found

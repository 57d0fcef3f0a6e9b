"""TRACE: from a token of the training order back to its document. find_document.py goes the other way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.format.training_order import positions_of, window_of_source
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.tokenizer.artifact import TokenIds


@dataclass(frozen=True)
class Origin:
    """Where a token came from."""

    source: str
    """Name of the source."""
    document_id: str
    """Id of the document in the source."""
    url: str | None
    """URL of the document, where the source has one."""
    unit: str
    """Part of the source that the document was read in: `<file>:<start>-<stop>`, row groups or bytes."""
    document_token_offset: int
    """Number of the document's tokens before this one."""
    revision: str | None
    """Commit of the hub dataset; None for local files."""
    window_of_source: int
    """Number of the token's window in the source's stream."""
    token_id: int
    """The token's id in the vocabulary."""
    text: str
    """Text of the document, as far as the mix has it: the last window of a source may cut its last document."""


def trace(mix: Mix, token: int) -> Origin:
    """The origin of token number `token` of the training order, counted from 0.

    Raises `UsageError` when the mix has no such token, `VerificationError` when its files contradict each other.
    """
    if not 0 <= token < mix.tokens:
        raise UsageError(f"token {token:,}: the mix has tokens 0 to {mix.tokens - 1:,}")
    position, column = divmod(token, mix.window)
    shard, row = mix.locate(position)
    source, window = window_of_source(mix, shard, row)
    name, stream_token = mix.sources[source], window * mix.window + column
    ids = mix.row(shard, row)
    if is_padding(mix, ids)[column]:
        raise UsageError(f"token {token:,} is padding behind the last document of its window; choose another token")
    document = find_document(mix, name, stream_token)
    text_ids = stream(mix, source, document["start"], document["start"] + document["tokens"])
    return Origin(
        source=name,
        document_id=document["id"],
        url=document["url"],
        unit=document["unit"],
        document_token_offset=stream_token - document["start"],
        revision=mix.manifest["sources"][name]["revision"],
        window_of_source=window,
        token_id=int(ids[column]),
        text=open_encoder(mix).decode(text_ids),
    )


def is_padding(mix: Mix, windows: TokenIds) -> NDArray[np.bool_]:
    """Whether each token of some windows, shape (..., window), is padding: bool, of the same shape.

    Packed windows are padded with end-of-text, each behind another one. Windows of other mixes have no padding.
    """
    padding = np.zeros(windows.shape, np.bool_)
    if mix.is_packed:
        padding[..., 1:] = (windows[..., 1:] == mix.eos_id) & (windows[..., :-1] == mix.eos_id)
    return padding


def find_document(mix: Mix, source: str, token: int) -> dict[str, Any]:
    """The row of the document table (id, url, unit, start, tokens) for token number `token` of a source's stream."""
    tables = document_tables(mix.manifest["files"], source)
    number = int(np.searchsorted([table["start"] for table in tables], token, side="right")) - 1
    if number >= 0:
        table = mix.table(tables[number])
        row = int(np.searchsorted(table.column("start").to_numpy(), token, side="right")) - 1
        document = dict(table.slice(max(row, 0), 1).to_pylist()[0]) if table.num_rows else {"start": 0, "tokens": 0}
        if document["start"] <= token < document["start"] + document["tokens"]:
            return document
    raise VerificationError(
        f"{mix.path}: no document of {source} has token {token:,} of its stream; run gpts-data verify {mix.path}"
    )


def stream(mix: Mix, source: int, start: int, stop: int) -> TokenIds:
    """Token ids `start` to `stop` of a source's stream, as far as the mix has them: shape (tokens,)."""
    order, size = mix.epoch_order(source), mix.window
    first, last = start // size, min(-(-stop // size), order.windows)
    rows = []
    for position in positions_of(mix, source, order.first_epoch_slots(np.arange(first, last))).tolist():
        shard, row = mix.locate(position)
        rows.append(mix.row(shard, row))
    return np.concatenate(rows)[start - first * size : stop - first * size]

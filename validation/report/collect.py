"""What a person is shown of a mix: facts beyond the manifest, from its tables, sidecars and a sample of its windows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.trace import find_document
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import open_arrow
from gpts_data.tokenizer.byte_lengths import bytes_per_id
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.vocabulary_files import byte_characters
from gpts_data.validation.inspect import Window, decode_window
from gpts_data.validation.training.log import NAME, Line, read_log

PREFIXES = 400  # at which the shares are looked at, evenly spread, and the first hundred
FIRST = 100
SAMPLED = 4096  # windows whose ids are counted: 2 million of 512
DECODED = 64  # windows of each source whose bytes are counted
SHOWN = 12  # windows that are shown
ENTRIES = 24
BYTES = byte_characters()


@dataclass(frozen=True)
class DocumentSpan:
    """A run of text of a shown window that is one document's."""

    text: str
    ended: bool
    """By end-of-text."""
    document_id: str
    url: str | None


@dataclass(frozen=True)
class Report:
    mix: Mix
    positions: NDArray[np.int64]
    counts: NDArray[np.int64]
    """Windows of each source before each position: int64 (positions, sources)."""
    lengths: list[NDArray[np.uint32]]
    bytes_per_token: list[float]
    entries: list[tuple[str, int]]
    """The most frequent entries of the sample, as text, and how often."""
    sampled: int
    unused: list[str]
    """Entries that the sample does not have."""
    windows: list[tuple[Window, list[DocumentSpan]]]
    dropped: dict[str, list[dict[str, Any]]]
    run: tuple[list[Line], dict[str, Any]] | None


def report(mix: Mix, run: Path | None = None, seed: int = 0) -> Report:
    """Everything the page shows. `run`: a folder of smoke-train over this mix. Raises `UsageError` for another's."""
    coder = Encoder(mix.tokenizer)
    widths = _widths(mix, coder)
    positions, counts = prefixes(mix)
    ids = _sample(mix, seed)
    frequency = np.bincount(ids.ravel(), minlength=mix.vocab_size)
    order = np.argsort(-frequency, kind="stable")
    return Report(
        mix,
        positions,
        counts,
        [np.concatenate([np.empty(0, np.uint32), *_document_tokens(mix, name)]) for name in mix.sources],
        [_bytes_per_token(mix, i, widths, seed) for i in range(len(mix.sources))],
        [(entry(coder, int(id)), int(frequency[id])) for id in order[:ENTRIES] if frequency[id]],
        ids.size,
        [entry(coder, int(id)) for id in np.flatnonzero(frequency == 0)],
        [_shown(mix, coder, position) for position in _spread(mix.windows, SHOWN, seed)],
        {name: _dropped(mix, name) for name in mix.sources},
        _run(mix, run) if run else None,
    )


def prefixes(mix: Mix) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the training order and the windows of each source before them, as the sidecars have it."""
    spread = np.linspace(1, mix.windows, PREFIXES, dtype=np.int64)
    positions = np.unique(np.concatenate([np.arange(1, min(FIRST, mix.windows) + 1), spread]))
    counts = np.zeros((len(positions), len(mix.sources)), dtype=np.int64)
    before, start = np.zeros(len(mix.sources), dtype=np.int64), 0
    for number, shard in enumerate(mix.manifest["shards"]):
        sources = sidecar(mix, number)["source"]
        for i in np.flatnonzero((positions > start) & (positions <= start + len(sources))).tolist():
            counts[i] = before + np.bincount(sources[: positions[i] - start], minlength=len(before))
        before += np.array([shard["sources"][name] for name in mix.sources])
        start += len(sources)
    return positions, counts


def entry(coder: Encoder, id: int) -> str:
    """An entry of the vocabulary as it is written: bytes that are no text as hexadecimal."""
    token = coder.reference.tokenizer.id_to_token(id) or ""
    content = bytes(BYTES[letter] for letter in token if letter in BYTES)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content.hex(" ")
    return text.replace(" ", "\u00b7") if text.isprintable() else repr(text)[1:-1]


def _sample(mix: Mix, seed: int) -> NDArray[np.uint16]:
    """Windows evenly spread over the training order: uint16 (windows, window)."""
    return np.stack([_row(mix, position) for position in _spread(mix.windows, SAMPLED, seed)])


def _row(mix: Mix, position: int) -> NDArray[np.uint16]:
    return mix.row(*mix.locate(position))


def _spread(total: int, count: int, seed: int) -> list[int]:
    """At most `count` of `total` places: one at random in each of as many equal runs."""
    count = min(count, total)
    edges = np.linspace(0, total, count + 1)
    drawn = edges[:-1] + np.random.default_rng(seed).random(count) * np.diff(edges)
    return [int(place) for place in np.minimum(drawn.astype(np.int64), total - 1)]


def _document_tokens(mix: Mix, source: str) -> Iterator[NDArray[np.uint32]]:
    for table in document_tables(mix.manifest["files"], source):
        with open_arrow(mix.path / table["file"]) as content:
            yield pq.read_table(content, columns=["tokens"]).column("tokens").to_numpy()


def _widths(mix: Mix, coder: Encoder) -> NDArray[np.int64]:
    """Bytes of text of each id; in a vocabulary that is not byte-level, those that the id alone decodes to."""
    try:
        return bytes_per_id(mix.tokenizer, mix.vocab_size, mix.eos_id)
    except UsageError:
        return np.array([len(coder.decode(np.array([id], np.uint16)).encode()) for id in range(mix.vocab_size)])


def _bytes_per_token(mix: Mix, source: int, widths: NDArray[np.int64], seed: int) -> float:
    """Of windows of a source, found by looking at the sidecars of the first shards. End-of-text counts as a token."""
    rows: list[NDArray[np.uint16]] = []
    for shard in range(len(mix.shards)):
        mine = np.flatnonzero(sidecar(mix, shard)["source"] == source)
        rows += [mix.row(shard, int(mine[i])) for i in _spread(len(mine), DECODED - len(rows), seed)]
        if len(rows) >= DECODED:
            break
    n_bytes = sum(int(widths[ids].sum()) for ids in rows)
    return n_bytes / max(sum(len(ids) for ids in rows), 1)


def _shown(mix: Mix, coder: Encoder, position: int) -> tuple[Window, list[DocumentSpan]]:
    window = decode_window(mix, position, coder)
    ids = np.array(window.ids, dtype=np.uint16)
    ends = np.flatnonzero(ids == mix.eos_id)
    begins = [0, *(ends + 1).tolist()]
    pieces = [piece for piece in np.split(ids, ends + 1) if len(piece)]
    parts = []
    for i, (begin, piece) in enumerate(zip(begins, pieces, strict=False)):
        document = find_document(mix, window.source, window.window * mix.window + begin)
        text = coder.decode(piece[piece != mix.eos_id])
        parts.append(DocumentSpan(text, i < len(ends), document["id"], document["url"]))
    return window, parts


def _dropped(mix: Mix, source: str) -> list[dict[str, Any]]:
    """The dropped documents that were kept for show, if any."""
    path = mix.path / "dropped" / f"{source}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _run(mix: Mix, run: Path) -> tuple[list[Line], dict[str, Any]]:
    try:
        result = json.loads((run / "result.json").read_bytes())
        digest = result["mix_root_digest"]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{run}: no result.json; expected a finished run of smoke-train") from error
    if digest != mix.manifest["root_digest"]:
        raise UsageError(f"{run}: a run over mix {digest[:16]}, not over {mix.path}")
    return read_log(run / NAME, result["steps"]), result

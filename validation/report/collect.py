"""Collects what the HTML report shows beyond the manifest.

It reads the document tables, the sidecars of the shards and a sample of the windows, so that the time does not grow
with the tokens of the mix, except for the tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.find_document import table_entries
from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.format.stored_text import stored_text
from gpts_data.mixer.format.trace import find_document, is_padding
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.pipelines.storage.typed_json import JsonError, parse_json
from gpts_data.tokenizer.artifact import TokenIds
from gpts_data.tokenizer.byte_lengths import bytes_per_id
from gpts_data.tokenizer.encode import Encoder
from gpts_data.tokenizer.vocabulary_files import byte_characters
from gpts_data.validation.inspect import Window, decode_window
from gpts_data.validation.report.order_counts import Bounds, count_sources, measure_bounds
from gpts_data.validation.run_files import RunResult, read_result
from gpts_data.validation.training.log import NAME, Line, read_log

SAMPLED_WINDOWS = 4096  # whose tokens are counted: 2 million tokens in windows of 512
BYTES_WINDOWS = 64  # of each source, for its bytes per token
SHOWN_WINDOWS = 12
SHOWN_TOKENS = 24
KEPT_SAMPLES = 3  # kept documents that are shown of each source
KEPT_TOKENS = 600  # of each that are decoded
BYTE_OF_CHARACTER = byte_characters()


class KeptSample(TypedDict):
    """The document that a dropped duplicate repeats."""

    source: str
    id: str
    text: str


@dataclass(frozen=True)
class KeptDocument:
    """A document of the mix, as an example of what passed."""

    id: str
    url: str | None
    tokens: int
    text: str
    """Its text, or the beginning of it."""


class DroppedSample(TypedDict):
    """A row of dropped/<source>.jsonl."""

    reason: str
    id: str
    url: str | None
    text: str
    detail: NotRequired[str]
    lines: NotRequired[list[str]]
    benchmark: NotRequired[str]
    item: NotRequired[str]
    ngram: NotRequired[str]
    kept: NotRequired[KeptSample]


@dataclass(frozen=True)
class DocumentSpan:
    """The part of a shown window that belongs to one document."""

    text: str
    ended: bool
    """Whether the document ends in this window."""
    document_id: str
    url: str | None


@dataclass(frozen=True)
class Report:
    """All values of the report about `mix`. Lists by source are in the order of the recipe."""

    mix: Mix
    positions: NDArray[np.int64]
    """Positions in the training order, ascending, shape (positions,)."""
    source_counts: NDArray[np.int64]
    """Windows of each source before each position, shape (positions, sources)."""
    bounds: Bounds
    document_lengths: list[NDArray[np.uint32]]
    """Tokens of each document, by source."""
    bytes_per_token: list[float]
    frequent_tokens: list[tuple[str, int]]
    """The most frequent tokens of the sample as text, and their counts."""
    sampled_tokens: int
    unused_tokens: list[str]
    """Vocabulary entries that do not occur in the sample."""
    windows: list[tuple[Window, list[DocumentSpan]]]
    kept_samples: dict[str, list[KeptDocument]]
    """Some training documents, by source."""
    dropped_samples: dict[str, list[DroppedSample]]
    """Rows of dropped/<source>.jsonl, by source."""
    run: tuple[list[Line], RunResult] | None
    """Log and result.json of a training run."""


def collect_report(mix: Mix, run: Path | None = None, seed: int = 0) -> Report:
    """Collect the values of the report.

    Args:
        run: folder of a finished smoke-train run on this mix, to be shown as well.
        seed: chooses the sampled windows.

    Raises:
        UsageError: `run` is not a finished run, or a run on another mix.
    """
    encoder = open_encoder(mix)
    id_bytes = all_id_bytes(mix, encoder)
    positions, source_counts = count_sources(mix)
    ids = _sample(mix, seed)
    frequency = np.bincount(ids.ravel(), minlength=mix.vocab_size)
    frequent = np.argsort(-frequency, kind="stable")[:SHOWN_TOKENS]
    return Report(
        mix=mix,
        positions=positions,
        source_counts=source_counts,
        bounds=measure_bounds(mix),
        document_lengths=[_document_lengths(mix, name) for name in mix.sources],
        bytes_per_token=[bytes_per_token(mix, number, id_bytes, seed) for number in range(len(mix.sources))],
        frequent_tokens=[(token_text(encoder, int(id)), int(frequency[id])) for id in frequent if frequency[id]],
        sampled_tokens=ids.size,
        unused_tokens=[token_text(encoder, int(id)) for id in np.flatnonzero(frequency == 0)],
        windows=[_decode(mix, encoder, position) for position in _spread(mix.windows, SHOWN_WINDOWS, seed)],
        kept_samples={name: _kept_samples(mix, name, seed) for name in mix.sources},
        dropped_samples={name: _dropped_samples(mix, name) for name in mix.sources},
        run=_read_run(mix, run) if run else None,
    )


def token_text(encoder: Encoder, id: int) -> str:
    """Return a vocabulary entry as text: spaces as dots, bytes that are not UTF-8 on their own as hexadecimal."""
    token = encoder.reference.tokenizer.id_to_token(id) or ""
    content = bytes(BYTE_OF_CHARACTER[character] for character in token if character in BYTE_OF_CHARACTER)
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content.hex(" ")
    return text.replace(" ", "\u00b7") if text.isprintable() else repr(text)[1:-1]


def _sample(mix: Mix, seed: int) -> TokenIds:
    """Return windows from all over the training order, shape (windows, window)."""
    return np.stack([mix.row(*mix.locate(position)) for position in _spread(mix.windows, SAMPLED_WINDOWS, seed)])


def _spread(total: int, count: int, seed: int) -> list[int]:
    """Draw at most `count` of the numbers below `total`: one at random from each of `count` equal ranges."""
    count = min(count, total)
    edges = np.linspace(0, total, count + 1)
    drawn = edges[:-1] + np.random.default_rng(seed).random(count) * np.diff(edges)
    return [int(number) for number in np.minimum(drawn.astype(np.int64), total - 1)]


def _document_lengths(mix: Mix, source: str) -> NDArray[np.uint32]:
    lengths = [np.empty(0, np.uint32)]
    for table in document_tables(mix.manifest["files"], source):
        lengths.append(mix.table(table, ["tokens"]).column("tokens").to_numpy())
    return np.concatenate(lengths)


def all_id_bytes(mix: Mix, encoder: Encoder) -> NDArray[np.int64]:
    """Return the bytes of text of each id; unless the vocabulary is byte-level, of the text that the id alone gives."""
    try:
        return bytes_per_id(mix.tokenizer, mix.vocab_size, mix.eos_id)
    except UsageError:
        return np.array([len(encoder.decode(np.array([id], mix.dtype)).encode()) for id in range(mix.vocab_size)])


def bytes_per_token(mix: Mix, source: int, id_bytes: NDArray[np.int64], seed: int) -> float:
    """Estimate the bytes per token of a source from windows of the first shards. End-of-text counts as a token."""
    rows: list[TokenIds] = []
    for shard in range(len(mix.shards)):
        of_source = np.flatnonzero(sidecar(mix, shard)["source"] == source)
        rows += [mix.row(shard, int(of_source[i])) for i in _spread(len(of_source), BYTES_WINDOWS - len(rows), seed)]
        if len(rows) >= BYTES_WINDOWS:
            break
    n_bytes = sum(int(id_bytes[ids].sum()) for ids in rows)
    return n_bytes / max(sum(len(ids) for ids in rows), 1)


def _decode(mix: Mix, encoder: Encoder, position: int) -> tuple[Window, list[DocumentSpan]]:
    """Decode one window of the training order, document by document."""
    window = decode_window(mix, position, encoder)
    ids = np.array(window.ids, dtype=mix.dtype)
    ends = np.flatnonzero(ids == mix.eos_id)
    starts = [0, *(ends + 1).tolist()]
    pieces = [piece for piece in np.split(ids, ends + 1) if len(piece)]
    spans, padding = [], is_padding(mix, ids)
    for i, (start, piece) in enumerate(zip(starts, pieces, strict=False)):
        if padding[start]:
            continue
        document = find_document(mix, window.source, window.window * mix.window + start)
        text = encoder.decode(piece[piece != mix.eos_id])
        spans.append(DocumentSpan(text, i < len(ends), document["id"], document["url"]))
    return window, spans


def _kept_samples(mix: Mix, source: str, seed: int) -> list[KeptDocument]:
    """Return some training documents from all over the source's part of the mix."""
    tables = table_entries(mix, source, held_out=False)
    samples, before = [], 0
    for number in _spread(sum(table["documents"] for table in tables), KEPT_SAMPLES, seed):
        while number >= before + tables[0]["documents"]:
            before += tables.pop(0)["documents"]
        row = mix.table(tables[0]).slice(number - before, 1).to_pylist()[0]
        text, _ = stored_text(mix, source, False, row["start"], min(row["tokens"], KEPT_TOKENS))
        samples.append(KeptDocument(row["id"], row["url"], row["tokens"], text))
    return samples


def _dropped_samples(mix: Mix, source: str) -> list[DroppedSample]:
    """Return the samples of dropped documents; none unless the recipe has keep_dropped."""
    name = f"dropped/{source}.jsonl"
    if not mix.has(name):
        return []
    path = mix.file(name)
    try:
        return [parse_json(line, DroppedSample) for line in path.read_bytes().splitlines()]
    except JsonError as error:
        raise VerificationError(f"{path}: {error}; run gpts-data verify {mix.path}") from error


def _read_run(mix: Mix, run: Path) -> tuple[list[Line], RunResult]:
    result = read_result(run)
    digest = result["mix_root_digest"]
    if digest != mix.manifest["root_digest"]:
        raise UsageError(
            f"{run}: this run used the mix with root digest {digest[:16]}, expected "
            f"{mix.manifest['root_digest'][:16]} of {mix.path}; choose a run on this mix"
        )
    return read_log(run / NAME, result["steps"]), result

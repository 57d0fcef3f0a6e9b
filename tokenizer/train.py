"""Train a byte-level BPE tokenizer on a weighted sample of filtered text.

    sources ── the first units in draw order ── filter, up to the source's share of the sample ── train BPE

The draw order (pipelines.readers.draw_order) is spread over the whole source; a build reads the same units first. Each
unit gives one piece of the sample, which depends only on its task. The pieces are read in the order of the tasks,
so the tokenizer does not depend on the number of workers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TypedDict, TypeVar

import numpy as np
import pyarrow as pa

from gpts_data.pipelines.errors import RecipeError, ShortSourceError
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.readers.damage import split_faulty
from gpts_data.pipelines.readers.draw_order import Draw, draw_units
from gpts_data.pipelines.readers.kinds import compression_of
from gpts_data.pipelines.readers.reader import read, split_units
from gpts_data.pipelines.readers.source import Listing, Source, Unit
from gpts_data.pipelines.storage.atomic_files import FileDigest, atomic_write, json_digest, size_and_sha256
from gpts_data.pipelines.storage.checksums import all_intact
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import read_receipt, require_receipt, write_receipt
from gpts_data.pipelines.storage.store_file import open_arrow
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.artifact import END_OF_TEXT, Artifact
from gpts_data.tokenizer.bpe import train_bpe

Item = TypeVar("Item")
SAMPLE_SCHEMA = pa.schema([("text", pa.string())])
DOCUMENTS_PER_BATCH = 64  # filtered at a time, since a piece may need only a few documents of a batch of 1,000
MAX_DOCUMENT = 1 << 16  # bytes; a book of megabytes would fill a piece, and its names would become entries
MIN_UNITS = 16  # per source: enough to sample all parts of it, and few enough footers to read
FILTERED_OUT = 2  # bytes of text in the units of a sample for each byte that is needed after the filters
_SPECIAL = re.compile(r"<\|[A-Za-z0-9][A-Za-z0-9_]*\|>")  # the pre-tokenizer splits it, so no merge makes it


@dataclass(frozen=True)
class Training:
    """The `[tokenizer]` table: how a tokenizer is trained when the build is not given one."""

    vocab_size: int = 4096
    """Number of vocabulary entries, including the 256 bytes, end-of-text and the special tokens; at most 65,536."""
    sample: int = 200_000_000
    """Bytes of filtered text to train on, drawn from the sources by weight."""
    special: tuple[str, ...] = ()
    """Additional special tokens such as `<|user|>`, with ids 1, 2, ... in this order; text never encodes to them."""


def check_training(training: Training) -> None:
    """Raise `RecipeError` for a size or special tokens that no tokenizer can have."""
    minimum = 257 + len(training.special)
    if not minimum <= training.vocab_size <= 65_536:
        raise RecipeError(
            f"tokenizer.vocab_size = {training.vocab_size}, expected {minimum} (256 bytes, end-of-text"
            f"{' and special tokens' if training.special else ''}) to 65,536"
        )
    for token in training.special:
        if not _SPECIAL.fullmatch(token) or token == END_OF_TEXT or training.special.count(token) > 1:
            raise RecipeError(
                f"tokenizer.special has {token!r}, expected names like <|user|>, each once and none {END_OF_TEXT}: "
                "letters, digits and _ between <| and |>, so that no merge can make one from text"
            )


class SampleReceipt(TypedDict):
    """Receipt of one piece of the sample."""

    key: str
    bytes: int
    """Bytes of text in the piece."""
    file_bytes: int
    sha256: str
    """sha256 of the file."""


@dataclass(frozen=True)
class SampleTask:
    """Task to write one piece of the sample: the first `quota` bytes of filtered text of a unit, as an Arrow file."""

    source: Source
    unit: Unit
    clean: CleanConfig
    quota: int
    path: AnyPath
    fetch_options: FetchOptions = FetchOptions()

    @property
    def receipt(self) -> AnyPath:
        return self.path.with_suffix(".json")

    @property
    def key(self) -> str:
        """Digest of everything that the piece depends on."""
        unit, limits = self.unit, [self.quota, MAX_DOCUMENT]
        return json_digest([asdict(self.source), unit.name, unit.file.sha256, asdict(self.clean), limits])


@dataclass(frozen=True)
class Trained:
    """A trained tokenizer and the sample it was trained on."""

    artifact: Artifact
    sample_bytes: int
    """Bytes of text in the sample."""
    sample_digest: str
    """sha256 over the sha256 of every piece, in order."""


def plan_sample(
    sources: Sequence[tuple[Source, Listing, CleanConfig]],
    training: Training,
    unit_bytes: int,
    folder: AnyPath,
    fetch_options: FetchOptions = FetchOptions(),
    draw: Draw = Draw(),
) -> list[SampleTask]:
    """The tasks that draw the sample. A source's share of its bytes is the source's weight, if it has so much text.

    Fetched bytes are cached, since the build reads the same units again.
    """
    fetch_options = replace(fetch_options, cache_ranges=True)
    total = sum(Fraction(str(source.weight)) for source, _, _ in sources)
    pieces = []
    for source, listing, clean in sources:
        share = int(training.sample * Fraction(str(source.weight)) / total)
        split = partial(split_units, source, unit_bytes=unit_bytes, fetch_options=fetch_options)
        if draw.order == "file":  # the first units would all be from the first file
            units = evenly_spaced([u for file in evenly_spaced(listing.files) for u in evenly_spaced(split(file))])
            quotas = [share // max(len(units), 1)] * len(units)
        else:
            units = _first_units(draw_units(listing.files, split, draw, source.name), share)
            quotas = equal_parts([_text_limit(unit, share) for unit in units], share)
        for number, (unit, quota) in enumerate(zip(units, quotas, strict=True)):
            path = folder / f"{source.name}-{number:02d}.arrow"
            pieces.append(SampleTask(source, unit, clean, min(quota, _text_limit(unit, share)), path, fetch_options))
    return pieces


def _first_units(units: Iterable[Unit], share: int) -> list[Unit]:
    """The first units: at least MIN_UNITS, and as many as are needed for `share` bytes of filtered text."""
    first: list[Unit] = []
    text_bytes = 0
    for unit in units:
        first.append(unit)
        text_bytes += unit.text_bytes
        if len(first) >= MIN_UNITS and text_bytes >= FILTERED_OUT * share:
            break
    return first


def _text_limit(unit: Unit, share: int) -> int:
    """The most bytes that a unit can give to a sample of `share` bytes. The size of compressed text is not known."""
    return share if compression_of(unit.file.name) else min(unit.text_bytes, share)


def equal_parts(limits: Sequence[int], total: int) -> list[int]:
    """Divide `total` into equal parts. A part with a lower limit is that limit; the other parts are then larger."""
    part = left = total
    for n_done, limit in enumerate(sorted(limits)):
        part = left // (len(limits) - n_done)
        if limit >= part:
            break
        left -= limit
    return [min(limit, part) for limit in limits]


def evenly_spaced(items: Sequence[Item]) -> list[Item]:
    """At most MIN_UNITS of the items, evenly spaced, in order."""
    count = min(len(items), MIN_UNITS)
    return [items[len(items) * i // count] for i in range(count)]


def draw_sample(piece: SampleTask) -> SampleReceipt:
    """Write one piece of the sample and its receipt, unless the receipt exists; returns the receipt."""
    if receipt := read_receipt(piece.receipt, piece.key, SampleReceipt):
        digest: FileDigest = {"bytes": receipt["file_bytes"], "sha256": receipt["sha256"]}
        if all_intact("sample for the tokenizer", {piece.path: digest}):
            return receipt
    piece.receipt.unlink(missing_ok=True)
    taken = 0
    with atomic_write(piece.path) as file:
        with pa.ipc.new_file(file, SAMPLE_SCHEMA) as writer:
            for texts in _cleaned_texts(piece):
                ends = taken + np.cumsum([len(text.encode()) for text in texts])
                texts = texts[: int(np.searchsorted(ends, piece.quota)) + 1]
                taken = int(ends[len(texts) - 1])
                writer.write_batch(pa.RecordBatch.from_arrays([pa.array(texts, pa.string())], schema=SAMPLE_SCHEMA))
                if taken >= piece.quota:
                    break
        facts = size_and_sha256(file)
    result: SampleReceipt = {
        "key": piece.key,
        "bytes": taken,
        "file_bytes": facts["bytes"],
        "sha256": facts["sha256"],
    }
    return write_receipt(piece.receipt, result)


def train(
    pieces: Sequence[SampleTask],
    training: Training,
    context: int,
    engine: Engine,
    folder: AnyPath,
    progress: Progress = lambda *_: None,
) -> Trained:
    """Draw the sample, train the tokenizer and write its files into `folder`.

    `context` is the longest sequence in tokens, for `transformers`. Raises `ShortSourceError` when the sample is too
    small for the vocabulary.
    """
    receipts = _draw_all(pieces, engine, progress)
    n_bytes = sum(receipt["bytes"] for receipt in receipts)
    tokenizer = train_bpe(_SampleTexts(pieces), training.vocab_size, training.special)
    vocab_size = tokenizer.get_vocab_size()
    if vocab_size < training.vocab_size:
        raise ShortSourceError(
            f"the tokenizer sample of {n_bytes:,} bytes gives {vocab_size:,} entries, expected "
            f"{training.vocab_size:,}; raise tokenizer.sample, add files, or lower tokenizer.vocab_size"
        )
    digest = json_digest([receipt["sha256"] for receipt in receipts])
    return Trained(artifact.save(tokenizer.to_str(), folder, context), n_bytes, digest)


def sample_texts(pieces: Sequence[SampleTask], engine: Engine, progress: Progress) -> dict[str, list[str]]:
    """Draw the sample and return all its texts by source, in memory."""
    _draw_all(pieces, engine, progress)
    texts: dict[str, list[str]] = {piece.source.name: [] for piece in pieces}
    for piece in pieces:
        texts[piece.source.name] += [text for batch in _SampleTexts([piece]) for text in batch]
    return texts


def _draw_all(pieces: Sequence[SampleTask], engine: Engine, progress: Progress) -> list[SampleReceipt]:
    """Draw all pieces and return their receipts, in order.

    The progress counts bytes of text. A piece whose source has less than its quota lowers the total.
    """
    left, drawn = sum(piece.quota for piece in pieces), 0
    quotas = {piece.key: piece.quota for piece in pieces}
    for receipt in engine.map(draw_sample, pieces):  # in any order
        drawn, left = drawn + receipt["bytes"], left - quotas[receipt["key"]]
        progress("tokenizer", "sample", drawn, drawn + left)
    return [require_receipt(piece.receipt, piece.key, SampleReceipt) for piece in pieces]


def _cleaned_texts(piece: SampleTask) -> Iterator[list[str]]:
    for batch in read(piece.source, piece.unit, piece.fetch_options):
        sound, _ = split_faulty(batch)
        for start in range(0, sound.num_rows, DOCUMENTS_PER_BATCH):
            cleaned, _ = get_cleaner(piece.clean).clean(sound.slice(start, DOCUMENTS_PER_BATCH))
            if cleaned.num_rows:
                yield [truncate(text) for text in cleaned.column("text").to_pylist()]


def truncate(text: str) -> str:
    """The first MAX_DOCUMENT bytes of a text, without a partial character at the end."""
    if len(text) * 4 <= MAX_DOCUMENT:
        return text
    return text.encode()[:MAX_DOCUMENT].decode(errors="ignore")


@dataclass(frozen=True)
class _SampleTexts:
    """An iterable over the batches of texts of all pieces, in order."""

    pieces: Sequence[SampleTask]

    def __iter__(self) -> Iterator[list[str]]:
        for piece in self.pieces:
            with pa.ipc.open_file(open_arrow(piece.path)) as reader:
                for i in range(reader.num_record_batches):
                    yield reader.get_batch(i).column("text").to_pylist()

"""SAMPLE: measure a source on its file footers and on a small sample that is cleaned, signed and encoded.

The sample has about SAMPLE bytes of text: every n-th document of up to NEAR_PIECES row groups or runs of lines. These
are evenly spaced over the text that a build would read, because the beginning and the end of a file can differ from its
middle. Of local files REST_PIECES more are taken from the text that a build of this size would not read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.mixer.recipe import Recipe, RecipeSource
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE, decide
from gpts_data.pipelines.dedup.signatures import signer
from gpts_data.pipelines.filters.cleaner import get_cleaner
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.readers.damage import split_faulty
from gpts_data.pipelines.readers.reader import read, split_units
from gpts_data.pipelines.readers.source import Listing, Unit

NEAR_PIECES = 32
REST_PIECES = 16
RUN = 50  # documents in a run; runs are resampled for the interval where there are few pieces
FEW_PIECES = 8  # with fewer, runs of documents are resampled instead of pieces
SAMPLE = 16_000_000  # bytes of text from a source: one second of work
PIECE_BYTES = 500_000  # at least one row group of FineWeb; about 100 MB to download for a hub source
UNLIMITED = 1 << 62  # a token budget that no source fills


@dataclass
class Piece:
    """A piece of the sample, and what was measured on it."""

    part: Unit
    """The row groups or lines that it was taken from."""
    read: int = 0
    """Documents in the sample, before cleaning."""
    texts: list[pa.Array] = field(default_factory=list)
    """Texts that the filters kept, batch by batch."""
    keys: list[NDArray[np.uint64]] = field(default_factory=list)
    """Deduplication keys of these texts: uint64, shape (documents, keys)."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """For each RUN of documents: bytes of text read, bytes kept."""
    cleaning: float = 0.0
    """Processor seconds for cleaning and signing the documents of the sample."""
    reading: float = 0.0
    """Processor seconds for reading all documents, skipped ones included."""
    passed_bytes: int = 0
    """Bytes of text of all documents, skipped ones included."""
    whole: bool = False
    """Whether the part was read to its end."""

    @property
    def text_bytes(self) -> int:
        """Bytes of text in the sample."""
        return sum(read for read, _ in self.runs)

    @property
    def kept_bytes(self) -> int:
        """Bytes of text that the filters kept."""
        return sum(kept for _, kept in self.runs)

    @property
    def kept(self) -> int:
        """Documents that the filters kept."""
        return sum(len(text) for text in self.texts)


@dataclass(frozen=True)
class SourceSample:
    """The sample of a source, and how much text the source has."""

    source: RecipeSource
    units: tuple[Unit, ...]
    """The units of the files whose footers were read, in the order that a build takes them."""
    rest_bytes: int
    """Bytes of text in the other files, estimated from their sizes."""
    pieces: tuple[Piece, ...]
    """The pieces of the sample."""
    near_pieces: int
    """The first `near_pieces` pieces are from the text that a build would read, the others from the rest."""
    near_bytes: int
    """Bytes of the text that a build would read."""

    @property
    def strata(self) -> list[tuple[int, range]]:
        """Bytes of text and the pieces that represent them, for the text that a build would read and for the rest."""
        if self.near_pieces == len(self.pieces):
            return [(self.text_bytes, range(self.near_pieces))]
        return [
            (self.near_bytes, range(self.near_pieces)),
            (self.text_bytes - self.near_bytes, range(self.near_pieces, len(self.pieces))),
        ]

    @property
    def text_bytes(self) -> int:
        """Bytes of text of the whole source."""
        return sum(unit.text_bytes for unit in self.units) + self.rest_bytes

    @property
    def bytes_scale(self) -> float:
        """Actual bytes of text for each byte of a unit's `text_bytes`, from the pieces that were read to their end.

        It is 1 for parquet, whose footers have the size of the text column. The `text_bytes` of a unit of lines counts
        all fields, and is a guess where the file is compressed.
        """
        lines = [piece for piece in self.pieces if not piece.part.file.name.endswith(".parquet")]
        whole = [piece for piece in lines if piece.whole and piece.passed_bytes]
        return sum(p.passed_bytes for p in whole) / sum(p.part.text_bytes for p in whole) if whole else 1.0

    @property
    def sample_bytes(self) -> int:
        """Bytes of text in the sample."""
        return sum(piece.text_bytes for piece in self.pieces)

    def pieces_near(self, unit: Unit) -> list[int]:
        """Indices of the pieces inside a unit; if there are none, of those in its file; else of all."""
        in_file = [i for i, piece in enumerate(self.pieces) if piece.part.file.name == unit.file.name]
        in_unit = [i for i in in_file if unit.start <= self.pieces[i].part.start < unit.stop]
        return in_unit or in_file or list(range(len(self.pieces)))

    def documents_per_byte(self, chosen: Sequence[int]) -> float:
        """Documents for each byte of a unit's `text_bytes`, in the chosen pieces."""
        pieces = [self.pieces[i] for i in chosen]
        text_bytes = sum(piece.text_bytes for piece in pieces)
        return self.bytes_scale * sum(piece.read for piece in pieces) / max(text_bytes, 1)

    def kept_share(self, chosen: Sequence[int]) -> float:
        """Share of the bytes of text that the filters keep, in the chosen pieces."""
        pieces = [self.pieces[i] for i in chosen]
        return sum(piece.kept_bytes for piece in pieces) / max(sum(piece.text_bytes for piece in pieces), 1)

    def bootstrap_rows(self, pieces: range) -> NDArray[np.int64]:
        """What the bootstrap resamples: bytes read and bytes kept of each piece, or of each run of documents.

        Runs are used where there are few pieces. int64, shape (pieces or runs, 2).
        """
        runs_of_pieces = [piece.runs for piece in self.pieces[pieces.start : pieces.stop]]
        if len(runs_of_pieces) >= FEW_PIECES:
            rows = [np.sum(runs, axis=0) for runs in runs_of_pieces if runs]
        else:
            rows = [np.array(run) for runs in runs_of_pieces for run in runs]
        return np.array(rows or [(1, 0)], dtype=np.int64)

    def duplicates(self, recipe: Recipe) -> NDArray[np.bool_]:
        """Which documents that the filters kept are duplicates of an earlier one in the sample: bool, (documents,)."""
        keys = [key for piece in self.pieces for key in piece.keys]
        if not keys or not recipe.dedup.n_keys:
            return np.zeros(sum(map(len, keys)), dtype=np.bool_)
        all_keys = np.concatenate(keys)
        tokens = np.ones(len(all_keys), dtype=np.uint32)
        held_out = np.zeros(len(all_keys), dtype=np.bool_)
        return np.asarray(decide(all_keys, tokens, held_out, UNLIMITED).codes >= FIRST_DUPLICATE, dtype=np.bool_)


def sample_source(
    recipe: Recipe, source: RecipeSource, listing: Listing, enough: int, fetch_options: FetchOptions, progress: Progress
) -> SourceSample:
    """Read the footers of a source until they list `enough` bytes of text (for local files, all), then the sample."""
    units: list[Unit] = []
    parts: list[Unit] = []
    listed_bytes = file_bytes = 0
    for file in listing.files:
        if source.dataset and listed_bytes >= enough:
            break
        file_units = split_units(source, file, recipe.unit, fetch_options)
        units += file_units
        parts += split_units(source, file, min(recipe.unit, PIECE_BYTES), fetch_options)
        listed_bytes += sum(unit.text_bytes for unit in file_units)
        file_bytes += file.size
    unlisted_file_bytes = sum(file.size for file in listing.files) - file_bytes
    n_near = int(np.searchsorted(np.cumsum([part.text_bytes for part in parts]), enough)) + 1
    near = evenly_spaced(parts[:n_near], NEAR_PIECES)
    chosen = [*near, *([] if source.dataset else evenly_spaced(parts[n_near:], REST_PIECES))]
    step = -(-sum(part.text_bytes for part in chosen) // SAMPLE) or 1
    pieces: list[Piece] = []
    for part in chosen:
        progress("sample", source.name, len(pieces), len(chosen))
        pieces.append(_piece(recipe, source, part, step, fetch_options))
    progress("sample", source.name, len(pieces), len(chosen))
    return SourceSample(
        source=source,
        units=tuple(units),
        rest_bytes=int(unlisted_file_bytes * listed_bytes / max(file_bytes, 1)),
        pieces=tuple(pieces),
        near_pieces=len(near),
        near_bytes=sum(part.text_bytes for part in parts[:n_near]),
    )


def evenly_spaced(units: Sequence[Unit], most: int) -> list[Unit]:
    """At most `most` of the units, the middle one of as many equal runs."""
    count = min(len(units), most)
    return [units[(2 * i + 1) * len(units) // (2 * count)] for i in range(count)]


def _piece(recipe: Recipe, source: RecipeSource, unit: Unit, step: int, fetch_options: FetchOptions) -> Piece:
    piece = Piece(unit)
    for batch in _every_nth(source, piece, step, fetch_options):
        began = time.process_time()
        valid, _ = split_faulty(batch)
        piece.read += batch.num_rows
        cleaned, reasons = get_cleaner(recipe.cleaning(source)).clean(valid)
        piece.runs += _runs(valid.column("text"), cleaned.column("text"), pc.is_null(reasons))
        if cleaned.num_rows:
            piece.texts.append(cleaned.column("text"))
            piece.keys.append(signer(recipe.dedup).sign(cleaned, source.name))
        piece.cleaning += time.process_time() - began
    return piece


def _runs(texts: pa.Array, kept: pa.Array, is_kept: pa.Array) -> list[tuple[int, int]]:
    """For each RUN of texts its bytes, and the bytes that are kept: a filter may remove lines from a text."""
    if not len(texts):
        return []
    sizes = np.zeros((len(texts), 2), np.int64)
    sizes[:, 0] = pc.binary_length(texts).to_numpy()
    sizes[is_kept.to_numpy(zero_copy_only=False), 1] = pc.binary_length(kept).to_numpy()
    return [(read, kept_bytes) for read, kept_bytes in np.add.reduceat(sizes, np.arange(0, len(sizes), RUN)).tolist()]


def _every_nth(source: RecipeSource, piece: Piece, step: int, fetch_options: FetchOptions) -> Iterator[pa.RecordBatch]:
    """Every `step`-th document. Stops after SAMPLE bytes of text, because a part that cannot be split may be large."""
    passed, began = 0, time.process_time()
    for batch in read(source, piece.part, fetch_options):
        piece.reading += time.process_time() - began
        rows = np.arange(-passed % step, batch.num_rows, step)
        passed += batch.num_rows
        piece.passed_bytes += int(pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0)
        yield batch.take(pa.array(rows))
        if piece.passed_bytes > SAMPLE:
            return
        began = time.process_time()
    piece.whole = True

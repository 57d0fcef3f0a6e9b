"""SURVEY: what a source is like, from its footers and a small sample that is really cleaned, signed and encoded.

The sample is some SAMPLE bytes of text, every n-th document of up to PIECES row groups or runs of lines, evenly spread
over the text that a build would read: files have beginnings and ends that are not like their middle. Of local files
BEYOND more tell what the rest is like, which a build of this size would not reach.
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

PIECES = 32
BEYOND = 16
RUN = 50  # documents: so many are one draw of the interval where pieces are few
FEW = 8  # pieces
SAMPLE = 16_000_000  # bytes of text of a source: a second of work
PART = 500_000  # a row group or more of FineWeb, and some 100 MB to fetch of a hub source
EVERYTHING = 1 << 62  # a budget that nothing fills


@dataclass
class Piece:
    """Counts of one piece: bytes of text and documents read, then of what the filters kept."""

    part: Unit
    read: int = 0
    texts: list[pa.Array] = field(default_factory=list)
    keys: list[NDArray[np.uint64]] = field(default_factory=list)
    runs: list[tuple[int, int]] = field(default_factory=list)
    """Of each RUN of its documents the bytes read, and kept."""
    cleaning: float = 0.0
    """Seconds of this process' processor for cleaning and signing what was taken."""
    reading: float = 0.0
    """And for reading all that was passed."""
    passed_bytes: int = 0
    """Of text, of all documents passed on the way, taken or not."""
    whole: bool = False
    """Whether the part was read to its end."""

    @property
    def text_bytes(self) -> int:
        return sum(read for read, _ in self.runs)

    @property
    def kept_bytes(self) -> int:
        return sum(kept for _, kept in self.runs)

    @property
    def kept(self) -> int:
        return sum(len(text) for text in self.texts)


@dataclass(frozen=True)
class SourceSample:
    """A source: the units looked at, in order, the text of the files behind them, and the pieces of the sample."""

    source: RecipeSource
    units: tuple[Unit, ...]
    rest_bytes: int
    """Text of the files whose footers were not read, from their sizes."""
    pieces: tuple[Piece, ...]
    near_pieces: int
    """So many pieces are of the text that a build would read, the others of the rest."""
    near_bytes: int
    """Of that text."""

    @property
    def strata(self) -> list[tuple[int, range]]:
        """Bytes of text, and the pieces that speak for them: of what a build would read, of the rest."""
        if self.near_pieces == len(self.pieces):
            return [(self.text_bytes, range(self.near_pieces))]
        return [
            (self.near_bytes, range(self.near_pieces)),
            (self.text_bytes - self.near_bytes, range(self.near_pieces, len(self.pieces))),
        ]

    @property
    def text_bytes(self) -> int:
        return sum(unit.text_bytes for unit in self.units) + self.rest_bytes

    @property
    def bytes_scale(self) -> float:
        """Bytes of text for each that a unit of lines is thought to have, as far as pieces were read whole: its bytes
        are those of all fields, or a guess from compressed ones. Those of parquet are the column's own."""
        lines = [piece for piece in self.pieces if not piece.part.file.name.endswith(".parquet")]
        whole = [piece for piece in lines if piece.whole and piece.passed_bytes]
        return sum(p.passed_bytes for p in whole) / sum(p.part.text_bytes for p in whole) if whole else 1.0

    @property
    def sample_bytes(self) -> int:
        return sum(piece.text_bytes for piece in self.pieces)

    def pieces_near(self, unit: Unit) -> list[int]:
        """The pieces that lie in a unit; else those of its file, else all."""
        beside = [i for i, piece in enumerate(self.pieces) if piece.part.file.name == unit.file.name]
        inside = [i for i in beside if unit.start <= self.pieces[i].part.start < unit.stop]
        return inside or beside or list(range(len(self.pieces)))

    def documents_per_byte(self, chosen: Sequence[int]) -> float:
        """Documents per byte of text, in the chosen pieces."""
        pieces = [self.pieces[i] for i in chosen]
        return (
            self.bytes_scale * sum(piece.read for piece in pieces) / max(sum(piece.text_bytes for piece in pieces), 1)
        )

    def kept_share(self, chosen: Sequence[int]) -> float:
        """Bytes that the filters keep per byte read, in the chosen pieces."""
        pieces = [self.pieces[i] for i in chosen]
        return sum(piece.kept_bytes for piece in pieces) / max(sum(piece.text_bytes for piece in pieces), 1)

    def bootstrap_rows(self, pieces: range) -> NDArray[np.int64]:
        """Bytes read and kept of what the interval draws from: pieces, or where these are few, runs of documents.

        int64, shape (draws, 2).
        """
        each = [piece.runs for piece in self.pieces[pieces.start : pieces.stop]]
        rows = [np.sum(runs, axis=0) for runs in each if runs] if len(each) >= FEW else [run for r in each for run in r]
        return np.array(rows or [(1, 0)], dtype=np.int64)

    def duplicates(self, recipe: Recipe) -> NDArray[np.bool_]:
        """Which of the kept documents of the sample repeat an earlier one of it."""
        keys = [key for piece in self.pieces for key in piece.keys]
        if not keys or not recipe.dedup.n_keys:
            return np.zeros(sum(map(len, keys)), dtype=np.bool_)
        whole = np.concatenate(keys)
        one = np.ones(len(whole), dtype=np.uint32)
        found = decide(whole, one, np.zeros(len(whole), dtype=np.bool_), EVERYTHING).codes >= FIRST_DUPLICATE
        return np.asarray(found, dtype=np.bool_)


def sample_source(
    recipe: Recipe, source: RecipeSource, listing: Listing, enough: int, fetch_options: FetchOptions, progress: Progress
) -> SourceSample:
    """Look at a source: footers until `enough` bytes of text are found (of local files, all), then the sample."""
    units: list[Unit] = []
    parts: list[Unit] = []
    looked = found = 0
    for file in listing.files:
        if source.dataset and found >= enough:
            break
        taken = split_units(source, file, recipe.unit, fetch_options)
        units += taken
        parts += split_units(source, file, min(recipe.unit, PART), fetch_options)
        found += sum(unit.text_bytes for unit in taken)
        looked += file.size
    rest = sum(file.size for file in listing.files) - looked
    reached = int(np.searchsorted(np.cumsum([part.text_bytes for part in parts]), enough)) + 1
    near = evenly_spaced(parts[:reached], PIECES)
    chosen = [*near, *([] if source.dataset else evenly_spaced(parts[reached:], BEYOND))]
    step = -(-sum(part.text_bytes for part in chosen) // SAMPLE) or 1
    pieces: list[Piece] = []
    for part in chosen:
        progress("survey", source.name, len(pieces), len(chosen))
        pieces.append(_piece(recipe, source, part, step, fetch_options))
    progress("survey", source.name, len(pieces), len(chosen))
    near_bytes = sum(part.text_bytes for part in parts[:reached])
    return SourceSample(source, tuple(units), int(rest * found / max(looked, 1)), tuple(pieces), len(near), near_bytes)


def evenly_spaced(units: Sequence[Unit], most: int) -> list[Unit]:
    count = min(len(units), most)
    return [units[(2 * i + 1) * len(units) // (2 * count)] for i in range(count)]


def _piece(recipe: Recipe, source: RecipeSource, unit: Unit, step: int, fetch_options: FetchOptions) -> Piece:
    piece = Piece(unit)
    for batch in _every(source, piece, step, fetch_options):
        began = time.process_time()
        sound, _ = split_faulty(batch)
        piece.read += batch.num_rows
        cleaned, reasons = get_cleaner(recipe.cleaning(source)).clean(sound)
        piece.runs += _runs(sound.column("text"), cleaned.column("text"), pc.is_null(reasons))
        if cleaned.num_rows:
            piece.texts.append(cleaned.column("text"))
            piece.keys.append(signer(recipe.dedup).sign(cleaned))
        piece.cleaning += time.process_time() - began
    return piece


def _runs(texts: pa.Array, kept: pa.Array, is_kept: pa.Array) -> list[tuple[int, int]]:
    """Of each RUN of texts their bytes, and those that are kept: a filter may take lines out of a text."""
    if not len(texts):
        return []
    sizes = np.zeros((len(texts), 2), np.int64)
    sizes[:, 0] = pc.binary_length(texts).to_numpy()
    sizes[is_kept.to_numpy(zero_copy_only=False), 1] = pc.binary_length(kept).to_numpy()
    return [(read, left) for read, left in np.add.reduceat(sizes, np.arange(0, len(sizes), RUN)).tolist()]


def _every(source: RecipeSource, piece: Piece, step: int, fetch_options: FetchOptions) -> Iterator[pa.RecordBatch]:
    """Every so many-th document, until a sample's worth was passed: what cannot be split may be gigabytes."""
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

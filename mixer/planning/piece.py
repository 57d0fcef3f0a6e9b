"""Pieces of a source's sample: runs of consecutive documents, read, cleaned and signed as a build does it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.mixer.format.outcomes import ID_SEED
from gpts_data.mixer.recipe import Recipe, RecipeSource
from gpts_data.pipelines.dedup.signatures import signer
from gpts_data.pipelines.filters.cleaner import get_cleaner
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.damage import split_faulty
from gpts_data.pipelines.readers.draw_order import Draw, draw_units
from gpts_data.pipelines.readers.kinds import JSON, JSONL, format_of
from gpts_data.pipelines.readers.reader import open_file, read, split_units
from gpts_data.pipelines.readers.source import SourceFile, Unit
from gpts_data.pipelines.text.hashing import hash_strings

PIECE_BYTES = 500_000  # of text, at least one document
RUN = 50  # documents in a run; runs are resampled for the interval where there are few pieces
PARTS_OF_FILE = 1024  # most parts that a file is divided into, so that a terabyte is not two million objects
PASSED = 128_000_000  # bytes of text after which a part is not read to its end if its pieces are done
LINE = 1 << 20  # bytes read at once while the end of a line is looked for
GOLDEN = (sqrt(5) - 1) / 2


@dataclass
class Piece:
    """A run of consecutive documents, and what was measured on them."""

    file: str
    """Name of their file."""
    read: int = 0
    """Documents, before cleaning."""
    texts: list[pa.Array] = field(default_factory=list)
    """Texts that the filters kept, batch by batch."""
    keys: list[NDArray[np.uint64]] = field(default_factory=list)
    """Deduplication keys of these texts: uint64, shape (documents, keys)."""
    draws: list[NDArray[np.uint64]] = field(default_factory=list)
    """Hashed ids of these documents, which decide whether they are held out for validation."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """For each RUN of documents: bytes of text read, bytes kept."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Documents that are faulty or that the filters dropped, by reason."""
    cleaning: float = 0.0
    """Processor seconds for cleaning and signing."""

    @property
    def text_bytes(self) -> int:
        """Bytes of text read."""
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
class Part:
    """Row groups or lines that were read, and the pieces that were taken from them."""

    pieces: list[Piece]
    unit: Unit
    """The unit that was read."""
    is_whole: bool
    """The pieces have every document of the unit."""
    passed_bytes: int
    """Bytes of text of all documents that were read, those between the pieces included."""
    stated_bytes: int | None
    """Bytes of a unit's `text_bytes` that these documents stand for; None where that is not known."""
    reading: float
    """Processor seconds for reading them."""


def draw_parts(
    source: RecipeSource, files: Sequence[SourceFile], draw: Draw, fetch_options: FetchOptions
) -> Iterator[Unit]:
    """Small parts of these files in draw order: row groups, or ranges of lines."""

    def split(file: SourceFile) -> list[Unit]:
        return split_units(source, file, max(PIECE_BYTES, file.size // PARTS_OF_FILE), fetch_options)

    return draw_units(files, split, draw, source.name)


def read_part(
    recipe: Recipe, source: RecipeSource, unit: Unit, number: int, slices: int, fetch_options: FetchOptions
) -> Part:
    """Read a part and take `slices` pieces from it, evenly spaced; 0 takes all of it.

    number: of the part; where between its bounds the pieces begin depends on it.
    """
    unit = _narrowed(unit, number) if slices else unit
    stride = max(unit.text_bytes // slices, PIECE_BYTES) if slices else PIECE_BYTES
    stride = PIECE_BYTES if stride < 2 * PIECE_BYTES else stride
    first = int((stride - PIECE_BYTES) * _fraction(number))
    pieces: dict[int, Piece] = {}
    places: list[str] = []
    passed, reading, whole, began = 0, 0.0, True, time.process_time()
    for batch in read(source, unit, fetch_options):
        reading += time.process_time() - began
        places += batch.column("place")[:1].to_pylist() + batch.column("place")[-1:].to_pylist()
        sizes: NDArray[np.int64] = pc.fill_null(pc.binary_length(batch.column("text")), 0).to_numpy().astype(np.int64)
        begins = passed + np.cumsum(sizes) - sizes - first
        passed += int(sizes.sum())
        for index, rows in _by_piece(begins, stride):
            _measure(recipe, source, pieces.setdefault(index, Piece(unit.file.name)), batch.take(pa.array(rows)))
        if passed > PASSED and len(pieces) >= max(slices, 1):
            whole = False
            break
        began = time.process_time()
    stated = _line_bytes(unit, places, fetch_options) if _is_lines(unit) else unit.text_bytes if whole else None
    is_whole = whole and slices == 0
    return Part([pieces[index] for index in sorted(pieces)], unit, is_whole, passed, stated, reading)


def _by_piece(begins: NDArray[np.int64], stride: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The number of each piece and its rows: those that begin in the first PIECE_BYTES of each `stride`."""
    inside = (begins >= 0) & (begins % stride < PIECE_BYTES)
    numbers = np.where(inside, begins // stride, -1)
    for number in np.unique(numbers[inside]).tolist():
        yield number, np.flatnonzero(numbers == number)


def _measure(recipe: Recipe, source: RecipeSource, piece: Piece, batch: pa.RecordBatch) -> None:
    began = time.process_time()
    valid, faults = split_faulty(batch)
    piece.read += batch.num_rows
    cleaned, reasons = get_cleaner(recipe.cleaning(source)).clean(valid)
    piece.dropped += faults + Counter(reasons.drop_null().to_pylist())
    piece.runs += runs(valid.column("text"), cleaned.column("text"), pc.is_null(reasons))
    if cleaned.num_rows:
        piece.texts.append(cleaned.column("text"))
        piece.keys.append(signer(recipe.dedup).sign(cleaned, source.name))
        names = pc.coalesce(cleaned.column("id"), cleaned.column("place"))
        piece.draws.append(hash_strings(names, ID_SEED))
    piece.cleaning += time.process_time() - began


def runs(texts: pa.Array, kept: pa.Array, is_kept: pa.Array) -> list[tuple[int, int]]:
    """For each RUN of texts its bytes, and the bytes that are kept: a filter may remove lines from a text."""
    if not len(texts):
        return []
    sizes = np.zeros((len(texts), 2), np.int64)
    sizes[:, 0] = pc.binary_length(texts).to_numpy()
    sizes[is_kept.to_numpy(zero_copy_only=False), 1] = pc.binary_length(kept).to_numpy()
    return [(read, kept_bytes) for read, kept_bytes in np.add.reduceat(sizes, np.arange(0, len(sizes), RUN)).tolist()]


def _is_lines(unit: Unit) -> bool:
    """Whether the unit is a range of bytes in a larger file of lines."""
    is_range = unit.stop - unit.start == unit.text_bytes < unit.file.size
    return is_range and format_of(unit.file.name) in (JSON, JSONL)


def _narrowed(unit: Unit, number: int) -> Unit:
    """A range of lines cut to PIECE_BYTES, somewhere inside of it; any other unit as it is."""
    if not _is_lines(unit) or unit.text_bytes <= PIECE_BYTES:
        return unit
    start = unit.start + int((unit.text_bytes - PIECE_BYTES) * _fraction(number))
    return replace(unit, start=start, stop=start + PIECE_BYTES, text_bytes=PIECE_BYTES)


def _fraction(number: int) -> float:
    """A number from 0 to 1; those of successive numbers are evenly spread."""
    return number * GOLDEN % 1


def _line_bytes(unit: Unit, places: Sequence[str], fetch_options: FetchOptions) -> int:
    """Bytes of the lines that were read, whose first and last are among `places`: the last may end beyond the unit."""
    if not places:
        return 0
    first, last = (int(place.rpartition(":")[2]) for place in (places[0], places[-1]))
    with open_file(
        unit.file, replace(fetch_options, cache_ranges=True), (last, min(unit.stop, unit.file.size))
    ) as file:
        file.seek(last)
        while (part := file.readline(LINE)) and not part.endswith(b"\n"):
            pass
        return file.tell() - first

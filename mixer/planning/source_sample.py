"""SAMPLE: measure a source on a small sample that is cleaned, signed and encoded.

The sample has about SAMPLE bytes of text in pieces of PIECE_BYTES, each a run of consecutive documents. The pieces come
from all over the source, in the order in which a build would draw units; a hub file is opened only when a piece of it
is drawn. A piece of a file of lines has the documents that begin in a range of bytes, however long they are: so every
document has the same chance. With `[draw] order = "file"` a build reads the first files only; they are sampled apart
from the others. Of a source with less than WHOLE bytes the sample has all documents, in the order of a build: what is
said of it is counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, islice

from gpts_data.mixer.planning.file_sizes import FileSizes
from gpts_data.mixer.planning.piece import PIECE_BYTES, Part, Piece, draw_parts, read_part
from gpts_data.mixer.recipe import Recipe, RecipeSource
from gpts_data.mixer.recipe_buckets import draw_name
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.readers.draw_order import draw_units
from gpts_data.pipelines.readers.reader import split_units
from gpts_data.pipelines.readers.source import Listing, SourceFile, Unit

SAMPLE = 16_000_000  # bytes of text from a source: one second of work
PIECES = SAMPLE // PIECE_BYTES
MOST_PARTS = 1000  # of a local source of small files or small row groups
MOST_HUB_PARTS = 40  # each takes at least two requests: footer and row group
FEW_DOCUMENTS = 100  # with fewer, because they are long, the sample is enlarged
LONG_SAMPLE = 4 * SAMPLE  # but not beyond this
WHOLE = 1.5 * SAMPLE  # a source with less text is read whole
MOST_FILES, MOST_HUB_FILES = 256, 40  # whose footers are read; the others are estimated from their sizes


@dataclass(frozen=True)
class FileGroup:
    """Files that are sampled together, and their pieces."""

    files: Sequence[SourceFile]
    text_bytes: int
    """Stated bytes of text, as in `Unit.text_bytes`."""
    pieces: range
    """Indices of their pieces in the sample."""


@dataclass(frozen=True)
class Stratum:
    """A part of a source: a file, or the files of a group of which the sample has too little."""

    text_bytes: int
    """Stated bytes of text."""
    pieces: Sequence[int]
    """Indices of the pieces of the sample that represent it."""
    sampled: float
    """The share of it that is in the sample."""


@dataclass(frozen=True)
class SourceSample:
    """The sample of a source, and how much text the source has."""

    recipe: Recipe
    source: RecipeSource
    listing: Listing
    sizes: FileSizes
    groups: tuple[FileGroup, ...]
    """One, or the files that a build in file order would read and the others."""
    parts: tuple[Part, ...]
    """What was read of each row group or run of lines that was drawn."""
    is_whole: bool = False
    """The sample has all documents of the source. Its parts are then the units of a build, in draw order."""

    @cached_property
    def pieces(self) -> list[Piece]:
        """The pieces of the sample."""
        return [piece for part in self.parts for piece in part.pieces]

    @cached_property
    def bytes_scale(self) -> float:
        """Bytes of text that can be used for each byte of a unit's stated `text_bytes`.

        Those count other fields of a line and documents that are damaged or have too low a score, and are a guess where
        a file is compressed. It is measured on the parts whose stated bytes are known for what was read of them.
        """
        parts = [part for part in self.parts if part.stated_bytes is not None]
        stated_bytes = sum(part.stated_bytes or 0 for part in parts)
        return sum(part.passed_bytes for part in parts) / stated_bytes if stated_bytes else 1.0

    @cached_property
    def text_bytes(self) -> float:
        """Bytes of text of the whole source that can be used."""
        return self.stated_bytes * self.bytes_scale

    @property
    def stated_bytes(self) -> int:
        """Stated bytes of text of the whole source."""
        return sum(group.text_bytes for group in self.groups)

    @cached_property
    def sample_bytes(self) -> int:
        """Bytes of text in the sample."""
        return sum(piece.text_bytes for piece in self.pieces)

    @property
    def sampled(self) -> float:
        """The share of the source that is in the sample."""
        if self.is_whole:
            return 1.0
        return min(self.sample_bytes / self.text_bytes, 1.0) if self.text_bytes else 1.0

    def draw(self) -> Iterator[Unit]:
        """All units of the source, in the order in which a build reads them."""
        if self.is_whole:
            return (part.unit for part in self.parts)
        name = draw_name(self.recipe.source, self.source)
        return draw_units(self.listing.files, self.sizes.split, self.recipe.draw, name)

    def pieces_near(self, file: SourceFile) -> list[int]:
        """Indices of the pieces that tell most about a file: its own, if they are a fair sample, else all."""
        return self._pieces_by_file[file.name] if file.name in self.sampled_files else list(range(len(self.pieces)))

    @cached_property
    def sampled_files(self) -> dict[str, float]:
        """The share of each file that is in the sample, for the files of which that is a fair sample."""
        n_bytes = {name: sum(self.pieces[i].text_bytes for i in near) for name, near in self._pieces_by_file.items()}
        fair = [file for file in self.listing.files if n_bytes.get(file.name, 0) >= PIECE_BYTES]
        if self.sampled >= 1:
            return {file.name: 1.0 for file in fair}
        return {file.name: min(n_bytes[file.name] / max(self.file_bytes(file), 1), 1.0) for file in fair}

    def file_bytes(self, file: SourceFile) -> float:
        """Bytes of text of a file that can be used."""
        return self.sizes.text_bytes([file]) * self.bytes_scale

    @cached_property
    def pieces_of_unit(self) -> dict[str, list[Piece]]:
        """The pieces of each part, by the name of its unit."""
        return {part.unit.name: part.pieces for part in self.parts}

    @cached_property
    def _pieces_by_file(self) -> dict[str, list[int]]:
        by_file: dict[str, list[int]] = {}
        for i, piece in enumerate(self.pieces):
            by_file.setdefault(piece.file, []).append(i)
        return by_file

    @cached_property
    def strata(self) -> list[Stratum]:
        """The parts of the source, whose training tokens are estimated apart."""
        strata: list[Stratum] = []
        for group in self.groups:
            left = [file for file in group.files if file.name not in self.sampled_files]
            for file in group.files:
                if file.name in self.sampled_files:
                    pieces = self._pieces_by_file[file.name]
                    strata.append(Stratum(self.sizes.text_bytes([file]), pieces, self.sampled_files[file.name]))
            if left:
                of_left = sum(self.pieces[i].text_bytes for f in left for i in self._pieces_by_file.get(f.name, ()))
                stated = self.sizes.text_bytes(left)
                sampled = min(of_left / max(stated * self.bytes_scale, 1), 1.0)
                strata.append(Stratum(stated, group.pieces, sampled))
        return strata


def sample_source(
    recipe: Recipe, source: RecipeSource, listing: Listing, enough: int, fetch_options: FetchOptions, progress: Progress
) -> SourceSample:
    """Sample a source. `enough`: bytes of text of which a build in file order reads no more."""
    split = partial(split_units, source, unit_bytes=recipe.unit, fetch_options=fetch_options)
    sizes = FileSizes(split, MOST_HUB_FILES if source.dataset else MOST_FILES)
    groups = [listing.files] if recipe.draw.order == "spread" else _near_and_rest(listing.files, sizes, enough)
    _split_some(recipe, source, listing, sizes)
    parts: list[Part] = []
    pieces = [0]
    is_whole = True
    for number, files in enumerate(groups):
        if number == 0 or not source.dataset:
            sampled, all_units = _sample_files(recipe, source, files, sizes, fetch_options, progress)
            parts += sampled
            pieces.append(sum(len(part.pieces) for part in parts))
            is_whole &= all_units and all(part.is_whole for part in sampled)
    stated = [sizes.text_bytes(files) for files in groups]
    if len(pieces) - 1 < len(groups):  # the rest of a hub source is taken to be like its beginning
        groups, stated = [listing.files], [sum(stated)]
        is_whole = False
    ranges = [range(start, stop) for start, stop in zip(pieces, pieces[1:], strict=False)]
    sampled_groups = tuple(map(FileGroup, groups, stated, ranges))
    return SourceSample(recipe, source, listing, sizes, sampled_groups, tuple(parts), is_whole)


def _split_some(recipe: Recipe, source: RecipeSource, listing: Listing, sizes: FileSizes) -> None:
    """Split files from all over a local source, so that all sizes are seen; of a hub source the first in draw order."""
    if source.dataset:
        name = draw_name(recipe.source, source)
        for _ in islice(draw_units(listing.files, sizes.split, recipe.draw, name), MOST_HUB_FILES):
            pass
    else:
        for file in listing.files[:: -(-len(listing.files) // MOST_FILES) or 1]:
            sizes.split(file)


def _near_and_rest(files: Sequence[SourceFile], sizes: FileSizes, enough: int) -> list[Sequence[SourceFile]]:
    """The first files, which have `enough` bytes of text, and the others if there are any."""
    total = 0
    for number, file in enumerate(files[:-1], 1):
        total += sum(unit.text_bytes for unit in sizes.split(file))
        if total >= enough:
            return [files[:number], files[number:]]
    return [files]


def _sample_files(
    recipe: Recipe,
    source: RecipeSource,
    files: Sequence[SourceFile],
    sizes: FileSizes,
    fetch_options: FetchOptions,
    progress: Progress,
) -> tuple[list[Part], bool]:
    """The sample of some files of a source, and whether it has a part for each of their units."""
    most = MOST_HUB_PARTS if source.dataset else MOST_PARTS
    whole = sizes.text_bytes(files) <= WHOLE
    if whole:
        split = partial(split_units, source, unit_bytes=recipe.unit, fetch_options=fetch_options)
        drawn = draw_units(files, split, recipe.draw, draw_name(recipe.source, source))
    else:
        drawn = draw_parts(source, files, replace(recipe.draw, order="spread"), fetch_options)
    first = list(islice(drawn, PIECES))
    slices = -(-PIECES // max(len(first), 1))  # from each, if they are the whole source
    parts: list[Part] = []
    text_bytes = documents = 0
    for number, unit in enumerate(chain(first, drawn)):
        wanted = LONG_SAMPLE if whole or documents < FEW_DOCUMENTS else SAMPLE
        if number >= most or text_bytes >= wanted:
            whole = False
            break
        if number < PIECES:
            progress("sample", source.name, number, PIECES)
        parts.append(read_part(recipe, source, unit, number, 0 if whole else slices, fetch_options))
        text_bytes += sum(piece.text_bytes for piece in parts[-1].pieces)
        documents += sum(piece.read for piece in parts[-1].pieces)
    progress("sample", source.name, PIECES, PIECES)
    return parts, whole

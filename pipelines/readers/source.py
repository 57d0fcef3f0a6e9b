"""A source and its parts as values: which files it has, and the units that its files are read in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from gpts_data.pipelines.readers.damage import MAX_DOCUMENT_BYTES


@dataclass(frozen=True)
class Source:
    """A `[[source]]` table: `files`, or a hub `dataset`. Order matters: of duplicates the earlier source's stays."""

    kind: ClassVar[str] = "source"  # for messages

    name: str
    """Of its folders and rows in the mix."""
    weight: float
    """Its share of the tokens, beside the other weights: 55, 30, 15 or 0.55, 0.3, 0.15."""
    files: tuple[str, ...] = ()
    """Globs of .parquet, .jsonl, .jsonl.zst or .jsonl.gz, relative to the recipe's folder."""
    dataset: str | None = None
    """A dataset of the hub, `owner/name`."""
    config: str | None = None
    """Of the dataset."""
    split: str = "train"
    """Of the dataset."""
    revision: str | None = None
    """A commit, branch or tag of the dataset; none pins what `main` is when the build begins."""
    text: str = "text"
    """The column of the text; `a.b` is b inside of a."""
    id: str | None = None
    """The column of the document's id; without it documents are named by file and row."""
    url: str | None = None
    """The column of its address."""
    integrity: str = "stream"
    """Of a dataset: `stream` fetches only the columns that are read, `sha256` whole files, checked before use."""
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    """A longer document (of UTF-8) is dropped."""
    max_damaged: int = 0
    """Documents that damage may cost in a whole build before it is refused (`pipelines.readers.damage.DAMAGE`)."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """The least of the source's own scores that a document must have, by column: `{ int_score = 3 }`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read; no other is ever fetched."""
        return tuple(dict.fromkeys(c for c in (self.text, self.id, self.url, *self.at_least) if c))


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `name` is the same on every machine, `location` is where this one finds it."""

    name: str
    location: str
    size: int
    sha256: str | None


@dataclass(frozen=True)
class Listing:
    """A source's files in canonical order, and the commit they belong to when they come from the hub."""

    files: tuple[SourceFile, ...]
    revision: str | None = None


@dataclass(frozen=True)
class Unit:
    """Row groups `start..stop` of a parquet file, or the lines that begin at bytes `start..stop` of a line file."""

    file: SourceFile
    start: int
    stop: int
    text_bytes: int

    @property
    def name(self) -> str:
        return f"{self.file.name}:{self.start}-{self.stop}"

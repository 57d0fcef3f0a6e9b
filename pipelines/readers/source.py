"""A source and its parts as values: the files it has, and the units in which its files are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from gpts_data.pipelines.readers.damage import MAX_DOCUMENT_BYTES, ScoreBounds

Columns = tuple[str, str | None, str | None]
"""The source's names of the columns for text, id and url."""


class FileSet(Protocol):
    """What is listed: local `files`, or files of a hub `dataset`. `Source` and `Benchmark` are file sets."""

    kind: ClassVar[str]
    """"source" or "benchmark", for messages."""

    @property
    def name(self) -> str: ...
    @property
    def files(self) -> tuple[str, ...]: ...
    @property
    def dataset(self) -> str | None: ...
    @property
    def config(self) -> str | None: ...
    @property
    def split(self) -> str: ...
    @property
    def revision(self) -> str | None: ...


@dataclass(frozen=True)
class Source:
    """A `[[source]]` table: `files`, or a hub `dataset`.

    The order of sources matters: of duplicates, the document of the earlier source is kept.
    """

    kind: ClassVar[str] = "source"

    name: str
    """Name of the source; used for folder names and in the manifest."""
    weight: float | None = None
    """Share of the tokens relative to the other sources' weights: 55, 30, 15 and 0.55, 0.3, 0.15 mean the same. Every
    source needs one, unless the recipe has `[[stage]]` tables."""
    files: tuple[str, ...] = ()
    """Files, folders or globs relative to the recipe's folder, or addresses as `s3://bucket/web/*.parquet`. They are
    parquet, Arrow, .jsonl, .json, .csv, .tsv or .txt. With a dataset, paths inside it, instead of config and split."""
    dataset: str | None = None
    """A dataset on the Hugging Face hub, `owner/name`."""
    config: str | None = None
    """Config (subset) of the dataset."""
    split: str = "train"
    """Split of the dataset."""
    revision: str | None = None
    """A commit, branch or tag of the dataset. Without it the build uses the commit `main` has when the build begins."""
    text: str = "text"
    """The column of the text; here and in all columns, `a.b` is field b of column a."""
    id: str | None = None
    """The column of the document's id. Without one, or where it is null, NaN or blank, file and row identify it."""
    url: str | None = None
    """The column of the document's URL; NaN and blank ones are none."""
    integrity: str = "stream"
    """For a dataset: `stream` fetches only the needed columns; `sha256` fetches whole files and verifies them first."""
    max_document_bytes: int = MAX_DOCUMENT_BYTES
    """Documents with more bytes of UTF-8 text than this are dropped."""
    max_damaged: int = 0
    """How many damaged documents the whole build may lose before it is refused (`pipelines.readers.damage.DAMAGE`)."""
    at_least: Mapping[str, float] = field(default_factory=dict)
    """The lowest value a document must have in each of the source's score columns, numbers or strings of numbers:
    `{ int_score = 3 }`."""
    below: Mapping[str, float] = field(default_factory=dict)
    """The value that a document's score must be below, by column. With `at_least` it makes one dataset several sources
    by quality (quality buckets)."""

    @property
    def bounds(self) -> ScoreBounds:
        """`at_least` and `below`."""
        return ScoreBounds(self.at_least, self.below)

    @property
    def is_remote(self) -> bool:
        """Whether its files lie on the Hub or in a store, where opening each of them before a build would take long."""
        return self.dataset is not None or any("://" in pattern for pattern in self.files)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read. No other column is ever fetched."""
        return tuple(dict.fromkeys(c for c in (self.text, self.id, self.url, *self.bounds.columns) if c))


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `name` is the same on every machine; `location` is its path or hub URL on this one."""

    name: str
    location: str
    size: int
    sha256: str | None
    members: tuple[SourceFile, ...] = ()
    """The files that are read as one (small_files.py), in order; empty for a single file."""
    version: str = ""
    """State of a local file when it was listed (`verified_file.state_of`): it tells whether the file was touched since.
    "" when it is not known."""

    @property
    def single_files(self) -> tuple[SourceFile, ...]:
        """The members, or the file itself."""
        return self.members or (self,)


@dataclass(frozen=True)
class Listing:
    """A source's files, by glob and then by name, and their commit if they come from the hub."""

    files: tuple[SourceFile, ...]
    revision: str | None = None

    @property
    def single_files(self) -> tuple[SourceFile, ...]:
        """The files, with the members of joined ones apart."""
        return tuple(single for file in self.files for single in file.single_files)


@dataclass(frozen=True)
class Unit:
    """Row groups `start..stop` of a parquet file, record batches of an Arrow file, or what begins at these bytes."""

    file: SourceFile
    start: int
    stop: int
    text_bytes: int

    @property
    def name(self) -> str:
        return f"{self.file.name}:{self.start}-{self.stop}"

"""Which columns of a source hold its text, ids and URLs, found by their names, types and a sample of their values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpts_data.mixer.recipe import RecipeSource
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.columns import is_text
from gpts_data.pipelines.readers.kinds import COLUMNAR, CSV, JSON, JSONL, TSV, format_of
from gpts_data.pipelines.readers.reader import column_types, read, split_units
from gpts_data.pipelines.readers.source import SourceFile
from gpts_data.pipelines.readers.usual_columns import ID, TEXT, URL, usual_columns

PROSE_CHARACTERS = 20  # of a value on average, at least, for a column whose name does not say that it is text
DISTINCT = 0.9  # share of distinct values of ids and URLs, at least: dedup keeps one of the documents with one id
PRESENT = 0.5  # share of documents that have a value, at least
MAX_COLUMNS = 100  # whose values are looked at
MAX_DAMAGED = 1 << 40  # values that are no strings are no error here
UNIT = 1 << 20


@dataclass(frozen=True)
class SampledColumn:
    """A sample of one column: at most a thousand values."""

    name: str
    kind: str
    """Its type for messages: an Arrow type, or whether the values are strings."""
    present: float
    """Share of the values that are strings."""
    characters: float
    """Mean number of characters of these."""
    is_prose: bool
    """Whether most values have a space or a character beyond ASCII, as text has, but no URL, digest or label."""
    n_bytes: int

    def __str__(self) -> str:
        length = f", {self.characters:,.0f} characters on average" if self.characters else ""
        return f"{self.name} ({self.kind}{length})"


@dataclass(frozen=True)
class DetectedColumns:
    """The columns of a source, and how much of its files is text."""

    text: str
    id: str | None
    url: str | None
    text_share: float
    """Bytes of text per byte that `split_units` counts: below 1 where a row has other values too."""


def detect_columns(
    source: RecipeSource, file: SourceFile, fetch_options: FetchOptions = FetchOptions()
) -> DetectedColumns:
    """The columns of a source, from a file of it that is not empty.

    The text is the first usual name whose values are strings, or else the column with the longest strings. Raises
    `RecipeError` when no column holds text, with the columns and their types.
    """
    types = column_types(file, fetch_options)
    text = _text_column(source, file, types, fetch_options)
    id, url = (
        next((name for name in names if _is_label(replace(source, text=text, id=name), file, fetch_options)), None)
        for names in ([name for name in usual_columns(types, usual) if name != text] for usual in (ID, URL))
    )
    columns = DetectedColumns(text, id, url, 1.0)
    return replace(columns, text_share=_text_share(source, file, types, text, fetch_options))


def _text_column(
    source: RecipeSource, file: SourceFile, types: dict[str, pa.DataType | None], fetch_options: FetchOptions
) -> str:
    readable = [name for name, kind in types.items() if kind is None or is_text(kind)]
    for name in usual_columns(readable, TEXT):
        if types[name] is not None or _sample(source, file, name, None, fetch_options).present >= PRESENT:
            return name
    sampled = [_sample(source, file, name, types[name], fetch_options) for name in sorted(readable)[:MAX_COLUMNS]]
    prose = [column for column in sampled if column.is_prose and column.characters >= PROSE_CHARACTERS]
    if prose:
        return max(prose, key=lambda column: column.characters).name
    others = [f"{name} ({types[name]})" for name in sorted(types) if name not in readable]
    raise RecipeError(
        f"{file.location}: no column holds text; found {', '.join([*map(str, sampled), *others]) or 'no column'}; "
        "expected a column of strings such as text or content, one document a row"
    )


def _sample(
    source: RecipeSource, file: SourceFile, name: str, kind: pa.DataType | None, fetch_options: FetchOptions
) -> SampledColumn:
    batch = _first_rows(replace(source, text=name), file, fetch_options)
    texts = batch.column("text").drop_null() if batch else pa.array([], pa.string())
    lengths = pc.utf8_length(texts)
    prose = pc.match_substring_regex(texts, r"[ \n]|[^\x00-\x7f]")
    return SampledColumn(
        name=name,
        kind=str(kind) if kind is not None else "strings" if len(texts) else "no strings",
        present=len(texts) / max(batch.num_rows, 1) if batch else 0.0,
        characters=float(pc.mean(lengths).as_py() or 0),
        is_prose=bool((pc.mean(prose.cast(pa.int8())).as_py() or 0) > 0.5),
        n_bytes=int(pc.sum(pc.binary_length(texts)).as_py() or 0),
    )


def _is_label(source: RecipeSource, file: SourceFile, fetch_options: FetchOptions) -> bool:
    """Whether the column that `source.id` names has a value for most documents, and few have the same."""
    batch = _first_rows(source, file, fetch_options)
    labels = batch.column("id").drop_null() if batch else pa.array([], pa.string())
    if not batch or len(labels) < PRESENT * batch.num_rows:
        return False
    return bool(pc.count_distinct(labels).as_py() >= DISTINCT * len(labels))


def _text_share(
    source: RecipeSource,
    file: SourceFile,
    types: dict[str, pa.DataType | None],
    text: str,
    fetch_options: FetchOptions,
) -> float:
    """Bytes of text per byte of file; 1 for columnar files, of which `split_units` counts the column alone."""
    kind = format_of(file.name)
    if kind in COLUMNAR:
        return 1.0
    if kind in (CSV, TSV):
        sizes = {name: _sample(source, file, name, None, fetch_options).n_bytes for name in sorted(types)[:MAX_COLUMNS]}
        return sizes[text] / max(sum(sizes.values()), 1)
    batch = _first_rows(replace(source, text=text), file, fetch_options)
    if kind not in (JSON, JSONL) or not batch or batch.num_rows < 2:
        return 1.0
    offsets = [int(place.rpartition(":")[2]) for place in (batch["place"][0].as_py(), batch["place"][-1].as_py())]
    lengths = np.asarray(pc.fill_null(pc.binary_length(batch["text"]), 0))
    return min(1.0, float(lengths[:-1].sum()) / max(offsets[1] - offsets[0], 1))


def _first_rows(source: RecipeSource, file: SourceFile, fetch_options: FetchOptions) -> pa.RecordBatch | None:
    """The first rows of a file as documents (see `reader.read`); None if it has none."""
    tolerant = replace(source, max_damaged=MAX_DAMAGED, integrity="stream")
    return next(_batches(tolerant, file, fetch_options), None)


def _batches(source: RecipeSource, file: SourceFile, fetch_options: FetchOptions) -> Iterator[pa.RecordBatch]:
    for unit in split_units(source, file, UNIT, fetch_options):
        yield from (batch for batch in read(source, unit, fetch_options) if batch.num_rows)

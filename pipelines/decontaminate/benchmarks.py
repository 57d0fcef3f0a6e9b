"""Benchmarks: the texts that must not be in training, out of the files that evaluation reads.

Listed as sources are, local or from the hub at a pinned commit. Their files are small, so each is read whole, checked
against its sha256 where one is known, and its rows are plain Python.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError
from gpts_data.pipelines.hub.remote_file import FetchOptions, RemoteFile
from gpts_data.pipelines.readers.compression import DecompressionError, chunks
from gpts_data.pipelines.readers.reader import list_files, open_file
from gpts_data.pipelines.readers.source import Listing, Source, SourceFile


@dataclass(frozen=True)
class Benchmark:
    """A `[[decontaminate.benchmark]]` table: `files`, or a hub `dataset`."""

    name: str
    """Of its rows in what `inspect` shows."""
    columns: tuple[str, ...]
    """Of strings or lists of strings, each of them one text to look for; `a.b` is b inside of a, `a + b` is b behind a,
    for each pair: a question with each of its answers."""
    files: tuple[str, ...] = ()
    """Globs as in a source; with a dataset, of paths inside it, instead of config and split."""
    dataset: str | None = None
    """Of the hub, `owner/name`."""
    config: str | None = None
    """Of the dataset."""
    split: str = "test"
    """Of the dataset."""
    revision: str | None = None
    """Of the dataset."""


@dataclass(frozen=True)
class Item:
    """`place` is `<file>:<row>`."""

    place: str
    texts: list[str]


class _Listed(Source):
    kind = "benchmark"


def check_benchmark(benchmark: Benchmark) -> None:
    """Raise `RecipeError` for a table that cannot be meant."""
    what = f"benchmark {benchmark.name!r}"
    if not (benchmark.files or benchmark.dataset):
        raise RecipeError(f"{what}: expected files = or dataset =, found neither")
    if not benchmark.columns:
        raise RecipeError(f'{what}: columns = [], expected the columns to look for, such as ["question"]')
    if benchmark.files and benchmark.config:
        raise RecipeError(f"{what}: config chooses files of a dataset, and so does files =; expected one of them")
    if benchmark.revision and not benchmark.dataset:
        raise RecipeError(f"{what}: revision belongs to a hub dataset, not to files =")


def list_benchmark(
    benchmark: Benchmark, folder: Path, fetch_options: FetchOptions, revision: str | None = None
) -> Listing:
    """Its files; `revision` is the commit that an earlier run of this build found. Raises as `list_files` does."""
    b = benchmark
    source = _Listed(b.name, 0, b.files, b.dataset, b.config, b.split, (revision if b.dataset else None) or b.revision)
    return list_files(source, folder, fetch_options)


def read_items(benchmark: Benchmark, listing: Listing, fetch_options: FetchOptions) -> Iterator[Item]:
    """All items in order.

    Raises `RecipeError` for a column that is not there or holds no text, `DataError` for a damaged file,
    `SourceUnavailableError` when the hub does not give it.
    """
    for file in listing.files:
        for number, row in enumerate(_rows(file, _content(file, fetch_options))):
            place = f"{file.name}:{number}"
            yield Item(place, [text for column in benchmark.columns for text in _texts(benchmark, row, column, place)])


def _content(file: SourceFile, fetch_options: FetchOptions) -> bytes:
    if remote := file.location.startswith("hf://"):
        content = RemoteFile(file.location, file.size, fetch_options).read()
    else:
        with open_file(file) as opened:
            content = opened.read()
    if file.sha256 and hashlib.sha256(content).hexdigest() != file.sha256:
        if remote:
            raise SourceUnavailableError(f"{file.name}: came damaged; run the same command again")
        raise DataError(f"{file.location}: changed while it was read; run the same command again")
    return content


def _rows(file: SourceFile, content: bytes) -> Iterator[dict[str, Any]]:
    if file.name.endswith(".parquet"):
        try:
            yield from pq.read_table(pa.BufferReader(content)).to_pylist()
        except pa.ArrowException as error:
            raise DataError(f"{file.name}: not readable as parquet: {error}") from error
        return
    for number, line in enumerate(_lines(file, content)):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{file.name}: row {number:,} is not JSON: {error}; mend the file") from error
        if not isinstance(row, dict):
            raise DataError(f"{file.name}: row {number:,} is not a JSON object; mend the file")
        yield row


def _lines(file: SourceFile, content: bytes) -> list[bytes]:
    try:
        text = b"".join(chunks(io.BytesIO(content), file.name))
    except DecompressionError as broken:
        raise DataError(f"{file.name}: cannot be decompressed ({broken}); get the file again") from broken
    return [line for line in text.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]


def _texts(benchmark: Benchmark, row: dict[str, Any], column: str, place: str) -> Iterator[str]:
    """The texts of one column, or of `a + b`."""
    parts = []
    for name in (part.strip() for part in column.split("+")):
        try:
            parts.append(_strings(_value(row, name)))
        except KeyError as error:
            found = ", ".join(sorted(row))
            raise RecipeError(f"benchmark {benchmark.name!r}: no column {name!r} in {place}; found {found}") from error
        except TypeError as error:
            raise RecipeError(
                f"benchmark {benchmark.name!r}: column {name!r} in {place} holds {error}, expected strings or lists "
                "of strings"
            ) from error
    return (" ".join(texts) for texts in product(*parts))


def _value(row: Any, name: str) -> Any:
    """What a dotted name leads to, through lists too; a column's own name may hold dots. Raises KeyError."""
    if isinstance(row, list):
        return [_value(entry, name) for entry in row]
    if not isinstance(row, dict):
        raise KeyError(name)
    if name in row:
        return row[name]
    head, _, rest = name.partition(".")
    if not rest:
        raise KeyError(name)
    return _value(row[head], rest)


def _strings(value: Any) -> list[str]:
    """Raises TypeError with the name of the type that is neither a string nor a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for entry in value for text in _strings(entry)]
    raise TypeError(type(value).__name__)

"""Benchmarks: the texts that must not be in training, read from the files that evaluations use.

Their files are listed as those of sources are, local or on the hub at a pinned commit. They are small, so each is read
whole into Python objects, and verified if its sha256 is known.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError
from gpts_data.pipelines.hub.remote_file import FetchOptions, RemoteFile
from gpts_data.pipelines.readers.compression import DecompressionError, chunks
from gpts_data.pipelines.readers.kinds import JSON, JSONL, PARQUET, format_of
from gpts_data.pipelines.readers.reader import list_file_set, open_file
from gpts_data.pipelines.readers.source import Listing, SourceFile


@dataclass(frozen=True)
class Benchmark:
    """A `[[decontaminate.benchmark]]` table: local `files`, or a hub `dataset`."""

    kind: ClassVar[str] = "benchmark"

    name: str
    """Name of the benchmark; `inspect` reports contamination under it."""
    columns: tuple[str, ...]
    """Columns of strings or lists of strings; each string is one text to look for. `a.b` is field b of column a.
    `a + b` joins each text of a with each of b: a question with each of its answers."""
    files: tuple[str, ...] = ()
    """Globs of .parquet, .jsonl or .json files, as in a source. With a dataset they match paths inside it and replace
    config and split."""
    dataset: str | None = None
    """A dataset on the Hugging Face hub, `owner/name`."""
    config: str | None = None
    """Config (subset) of the dataset."""
    split: str = "test"
    """Split of the dataset."""
    revision: str | None = None
    """A commit, branch or tag of the dataset. Without it the build uses the commit `main` has when the build begins."""


@dataclass(frozen=True)
class Item:
    """A row of a benchmark and its texts to look for. `place` is `<file>:<row>`."""

    place: str
    texts: list[str]


def check_benchmark(benchmark: Benchmark) -> None:
    """Raise `RecipeError` for a table whose keys contradict each other or are missing."""
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
    """The files of a benchmark. Raises as `list_files` does.

    revision: the commit that an earlier run of this build found, instead of the recipe's.
    """
    if benchmark.dataset and revision:
        benchmark = replace(benchmark, revision=revision)
    return list_file_set(benchmark, folder, fetch_options)


def read_items(benchmark: Benchmark, listing: Listing, fetch_options: FetchOptions) -> Iterator[Item]:
    """All items of a benchmark in order.

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
    kind = format_of(file.name)
    if kind not in (PARQUET, JSONL, JSON):
        raise RecipeError(
            f"{file.name}: cannot search for its texts; expected a benchmark as .parquet, .jsonl or .json"
        )
    if kind == PARQUET:
        try:
            yield from pq.read_table(pa.BufferReader(content)).to_pylist()
        except pa.ArrowException as error:
            raise DataError(f"{file.name}: not readable as parquet: {error}") from error
        return
    for number, row in enumerate(_json_values(file, content)):
        if not isinstance(row, dict):
            raise DataError(f"{file.name}: row {number:,} is not a JSON object; mend the file")
        yield row


def _json_values(file: SourceFile, content: bytes) -> Iterator[Any]:
    """The values of a JSON array, or of JSON lines."""
    text = _text(file, content)
    is_array = text.startswith(b"[") and format_of(file.name) == JSON
    for number, part in enumerate([text] if is_array else filter(bytes.strip, text.split(b"\n"))):
        try:
            value = json.loads(part)
        except ValueError as error:
            where = "the array" if is_array else f"row {number:,}"
            raise DataError(f"{file.name}: {where} is not JSON: {error}; mend the file") from error
        yield from value if is_array else [value]


def _text(file: SourceFile, content: bytes) -> bytes:
    try:
        text = b"".join(chunks(io.BytesIO(content), file.name))
    except DecompressionError as error:
        raise DataError(f"{file.name}: cannot be decompressed ({error}); get the file again") from error
    return text.removeprefix(b"\xef\xbb\xbf").strip()


def _texts(benchmark: Benchmark, row: dict[str, Any], column: str, place: str) -> Iterator[str]:
    """The texts of one column, or of the joined columns `a + b`."""
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
    """The value under a dotted name, in each entry of lists; a column's own name may contain dots. Raises KeyError."""
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
    """The strings in nested lists. Raises TypeError with the name of a type that is neither a string nor a list."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for entry in value for text in _strings(entry)]
    raise TypeError(type(value).__name__)

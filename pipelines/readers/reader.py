"""The entrance to source files: list them, split them into units, and read a unit as Arrow batches of documents.

A unit is a fixed run of row groups (parquet), record batches (Arrow) or lines (jsonl) with about `unit_bytes` bytes of
text. Files of other kinds, and compressed ones, cannot be split: each is one unit. Units depend on the files and the
recipe, never on the workers. Local files and hub datasets give the same units: only listing and opening differ.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BufferedReader
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import IO, cast

import pyarrow as pa

from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError
from gpts_data.pipelines.hub.range_fetcher import range_fetcher
from gpts_data.pipelines.hub.remote_file import BLOCK, FetchOptions, RemoteFile, Span
from gpts_data.pipelines.readers import arrow_ipc, csv_rows, json_array, jsonl, kinds, parquet, text_file
from gpts_data.pipelines.readers.columns import plain_type, why_unusable
from gpts_data.pipelines.readers.damage import DAMAGE, DRIFT, INVALID_ID, INVALID_URL, NOT_STRING, damaged_places
from gpts_data.pipelines.readers.kinds import READABLE, compression_of, format_of
from gpts_data.pipelines.readers.local_files import local_files
from gpts_data.pipelines.readers.small_files import join_small_files
from gpts_data.pipelines.readers.source import FileSet, Listing, Source, SourceFile, Unit
from gpts_data.pipelines.readers.store_files import is_address, list_store_files, open_store_file
from gpts_data.pipelines.readers.usual_columns import suggest_column
from gpts_data.pipelines.readers.verified_file import list_local_files, open_checked, open_local, unchanged

READERS_VERSION = 1  # of the documents that readers make of a file; units prepared with another version are not reused
_READERS = {
    kinds.PARQUET: parquet,
    kinds.ARROW: arrow_ipc,
    kinds.JSONL: jsonl,
    kinds.JSON: json_array,
    kinds.CSV: csv_rows,
    kinds.TSV: csv_rows,
    kinds.TXT: text_file,
}
HUB = "hf://"
COMPRESSED_TEXT_RATIO = 3.5  # bytes of text per byte of .zst or .gz: 2.6 to 4.9 on English; only sizes the rounds


def list_files(source: Source, folder: Path, fetch_options: FetchOptions = FetchOptions()) -> Listing:
    """The files of a source; relative globs start at `folder`, the recipe's.

    Raises `RecipeError` when a glob matches nothing, or the hub has no sha256 of a file that is to be verified;
    `SourceUnavailableError` when the hub cannot be reached.
    """
    listing = list_file_set(source, folder, fetch_options)
    for file in listing.files:
        if file.sha256 is None and source.integrity == "sha256":
            why = "the hub lists no sha256 of {}, a small file" if source.dataset else "a store has no sha256 of {}"
            raise RecipeError(f'source {source.name!r}: {why.format(file.name)}; use integrity = "stream"')
    return replace(listing, files=join_small_files(listing.files))


def list_file_set(file_set: FileSet, folder: Path, fetch_options: FetchOptions = FetchOptions()) -> Listing:
    """The files of a source or benchmark. Arguments and errors are those of `list_files`."""
    if file_set.dataset is not None:
        dataset = file_set.dataset, file_set.config, file_set.split, file_set.revision
        commit, hub_files = range_fetcher().list_files(*dataset, fetch_options.retry_policy, file_set.files)
        for file in hub_files:
            _reader(file.path)
        return Listing(tuple(SourceFile(file.path, file.url, file.size, file.sha256) for file in hub_files), commit)
    if any(is_address(pattern) for pattern in file_set.files):
        return list_store_files(file_set)
    paths = local_files(file_set, folder)
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [_utf8_name(Path(os.path.relpath(path, root)).as_posix(), file_set) for path in paths]
    return Listing(list_local_files(names, paths))


def _utf8_name(name: str, file_set: FileSet) -> str:
    """A file's name with its bytes read as UTF-8 in any locale. Raises `RecipeError` when they are something else."""
    try:
        return os.fsencode(name).decode()
    except UnicodeDecodeError as error:  # the manifest could not list it
        raise RecipeError(
            f"{file_set.kind} {file_set.name!r}: the file name {name!r} is not UTF-8; rename the file"
        ) from error


def check_columns(source: Source, file: SourceFile, fetch_options: FetchOptions = FetchOptions()) -> None:
    """Raise `RecipeError` when `file` lacks a column that the source names."""
    reader = _reader(file.name)
    with open_file(file, replace(fetch_options, cache_ranges=True)) as opened:
        columns = reader.columns(opened, file.name, source.columns)
        schema = reader.schema(opened, file.name) if reader in (parquet, arrow_ipc) else pa.schema([])
    keys = {source.id: "id", source.url: "url", source.text: "text"}
    for column in source.columns:
        problem = why_unusable(schema, column)
        if column not in columns and (columns or problem):  # without any, reading it names the damage
            raise RecipeError(
                f"source {source.name!r}: {problem or f'no column {column!r}'} in {file.name}; found "
                f"{', '.join(sorted(columns)) or 'no other column'}"
                f"{suggest_column(keys.get(column, ''), column, columns - {*source.columns})}"
            )


def column_types(file: SourceFile, fetch_options: FetchOptions = FetchOptions()) -> dict[str, pa.DataType | None]:
    """The columns of a file that can be read, with their types; None where rows have no schema, as in JSON lines."""
    reader = _reader(file.name)
    with open_file(file, replace(fetch_options, cache_ranges=True)) as opened:
        columns = sorted(reader.columns(opened, file.name))
        schema = reader.schema(opened, file.name) if reader in (parquet, arrow_ipc) else None
    return {column: None if schema is None else plain_type(schema, column) for column in columns}


def split_units(
    source: Source, file: SourceFile, unit_bytes: int, fetch_options: FetchOptions = FetchOptions()
) -> list[Unit]:
    """The units of one file, in order.

    Of a parquet file only the footer is read, of a local Arrow file the lengths of texts, of `.json` the beginning, of
    others nothing.
    """
    if file.members:
        units = [unit for member in file.members for unit in split_units(source, member, member.size, fetch_options)]
        return [Unit(file, 0, file.size, sum(unit.text_bytes for unit in units))]
    if compression_of(file.name):
        return [Unit(file, 0, file.size, int(file.size * COMPRESSED_TEXT_RATIO))]
    reader = _reader(file.name)
    if reader is json_array and file.size:
        with open_file(file, replace(fetch_options, cache_ranges=True), (0, 1)) as opened:
            reader = json_array if json_array.is_array(opened, file.name) else jsonl
    if reader is jsonl:
        starts = range(0, file.size, unit_bytes)
        return [Unit(file, s, min(s + unit_bytes, file.size), min(unit_bytes, file.size - s)) for s in starts]
    if reader is parquet or (reader is arrow_ipc and not is_address(file.location)):
        with open_file(file, replace(fetch_options, cache_ranges=True)) as opened:
            runs = (parquet.row_group_runs if reader is parquet else arrow_ipc.batch_runs)(
                opened, file.name, source.text, unit_bytes
            )
        return [Unit(file, start, stop, text_bytes) for start, stop, text_bytes in runs]
    return [Unit(file, 0, file.size, file.size)] if file.size else []


def fetch_cost(source: Source, unit: Unit, fetch_options: FetchOptions = FetchOptions()) -> tuple[int, int]:
    """The number of bytes, and of ranges, that reading a unit requests from the hub; zeros for a local source."""
    if source.dataset is None:
        return 0, 0
    if _reader(unit.file.name) is not parquet:
        return unit.stop - unit.start, -(-(unit.stop - unit.start) // BLOCK)
    with open_file(unit.file, replace(fetch_options, cache_ranges=True)) as opened:
        return parquet.fetch_cost(opened, unit.file.name, source.columns, unit.start, unit.stop)


def read(source: Source, unit: Unit, fetch_options: FetchOptions = FetchOptions()) -> Iterator[pa.RecordBatch]:
    """The documents of a unit in order, in batches of at most 1,000 rows.

    The columns are strings: `text` (null where there is a fault), `id` and `url` (null where absent), `place` (which
    row it is: `<file>:<row group>:<row>` or `<file>:<byte>`, stable under a pinned revision) and `fault` (why the
    document cannot be used, see damage.py; null for a sound one).

    Raises `DataError` naming the document when this unit alone has more damage than `max_damaged`,
    `SourceUnavailableError` when the hub or the disk cannot be read.
    """
    for (batch,) in read_buckets([source], unit, fetch_options):
        yield batch


def read_buckets(
    sources: Sequence[Source], unit: Unit, fetch_options: FetchOptions = FetchOptions()
) -> Iterator[tuple[pa.RecordBatch, ...]]:
    """The documents of a unit as `read` gives them for each of the sources, which differ in their score bounds only.

    The unit is read once. Each batch of rows comes as a tuple with a batch for each source.
    """
    source = sources[0]
    names = (source.text, source.id, source.url)
    rules = source.max_document_bytes, [each.bounds for each in sources]
    damaged: list[list[str]] = [[] for _ in sources]
    try:
        for part in _parts(unit):
            with _open_unit(source, part, fetch_options) as opened, unchanged(part.file, opened):
                file = part.file.name, part.start, part.stop
                batches = _reader(part.file.name).read(opened, *file, names, *rules)
                while of_sources := tuple(islice(batches, len(sources))):  # zip would hold an earlier batch too
                    for each, places, batch in zip(sources, damaged, of_sources, strict=True):
                        places += damaged_places(batch)
                        check_damage_budget(each, places)
                    yield of_sources
    except OSError as error:  # the source's disk failed; a writer that calls this would blame its own disk
        raise SourceUnavailableError(
            f"cannot read {unit.file.location}: {error.strerror or error}; fix that, then run the same command again"
        ) from error


def check_damage_budget(source: Source, damaged: Sequence[str], n: int | None = None) -> None:
    """Raise `DataError` when a source has lost more than `max_damaged` documents.

    damaged: `place: fault` of damaged documents; the first is named in the message. n: how many there are, by default
    `len(damaged)`.
    """
    n = len(damaged) if n is None else n
    if n <= source.max_damaged:
        return
    place, _, fault = damaged[0].rpartition(": ")
    column = {INVALID_ID: source.id, INVALID_URL: source.url, NOT_STRING: source.text, DRIFT: source.text}.get(fault)
    raise DataError(
        f"source {source.name!r}: {place}: {DAMAGE[fault]} ({fault}){f', column {column!r}' if column else ''}; "
        f"found {n:,} damaged, max_damaged = "
        f"{source.max_damaged:,}. Repair the file, leave it out of the recipe, or raise this source's max_damaged"
    )


def _parts(unit: Unit) -> list[Unit]:
    """The unit itself, or one for each of the files that it joins."""
    return [Unit(member, 0, member.size, member.size) for member in unit.file.members] or [unit]


def _open_unit(source: Source, unit: Unit, fetch_options: FetchOptions) -> IO[bytes]:
    if source.integrity == "sha256":
        checked = open_checked(unit.file, fetch_options)
        try:
            _check_unit(source, unit, checked, fetch_options)
        except BaseException:
            checked.close()
            raise
        return checked
    return open_file(unit.file, fetch_options, (unit.start, unit.stop))


def _check_unit(source: Source, unit: Unit, checked: IO[bytes], fetch_options: FetchOptions) -> None:
    """Raise `SourceUnavailableError` when the unit's row groups are not those of the verified file's footer: the footer
    that the plan streamed was damaged."""
    if _reader(unit.file.name) is not parquet:
        return
    text_bytes = parquet.text_bytes(checked, unit.file.name, source.text, unit.start, unit.stop)
    if text_bytes != unit.text_bytes:
        RemoteFile(unit.file.location, unit.file.size, fetch_options).evict()
        raise SourceUnavailableError(f"{unit.file.name}: its footer came damaged; run the same command again")


def open_file(file: SourceFile, fetch_options: FetchOptions = FetchOptions(), lines: Span | None = None) -> IO[bytes]:
    """A seekable binary stream of a file that is local, on the hub or in a store.

    lines: the bytes whose lines will be read, so that those of a hub file are fetched ahead; the reader of parquet
    files asks for its own ranges. Raises `DataError` when a local file has changed since it was listed.
    """
    if file.location.startswith(HUB):
        remote = RemoteFile(file.location, file.size, fetch_options)
        if _reader(file.name) is parquet:
            return cast(IO[bytes], remote)
        if lines is not None:
            remote.prefetch_blocks(*lines)
        return BufferedReader(remote, BLOCK)
    if is_address(file.location):
        return open_store_file(file)
    return open_local(file)


def _reader(name: str) -> ModuleType:
    """The module that reads files of this name."""
    reader = _READERS.get(format_of(name) or "")
    if reader is None:
        raise RecipeError(f"{name}: cannot read this kind of file; {READABLE}")
    return reader

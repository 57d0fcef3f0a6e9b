"""Sources: which files, which units of them, and the documents inside as Arrow batches.

A unit is a fixed run of row groups (parquet) or of lines (jsonl) with about `unit` bytes of text; a compressed line
file cannot be split and is one unit. Units depend on the files and the recipe, never on the workers. Local files and
hub datasets give the same units: only listing and opening differ.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError
from gpts_data.pipelines.hub.range_fetcher import range_fetcher
from gpts_data.pipelines.hub.remote_file import BLOCK, FetchOptions, RemoteFile
from gpts_data.pipelines.readers import jsonl, parquet
from gpts_data.pipelines.readers.compression import COMPRESSED
from gpts_data.pipelines.readers.damage import DAMAGE, damaged_places
from gpts_data.pipelines.readers.source import Listing, Source, SourceFile, Unit
from gpts_data.pipelines.readers.verified_file import open_checked
from gpts_data.pipelines.storage.atomic_files import file_digest

COMPRESSED_TEXT_RATIO = 3.5  # text bytes per byte of .zst or .gz: 2.6 to 4.9 on English prose; only sizes the rounds


def list_files(source: Source, folder: Path, fetch_options: FetchOptions = FetchOptions()) -> Listing:
    """The files of a source; `folder` is the recipe's, where relative globs start.

    Raises `RecipeError` when a glob matches nothing, `SourceUnavailableError` when the hub cannot be reached.
    """
    if source.dataset is not None:
        return _list_dataset(source, source.dataset, fetch_options)
    paths = local_files(source, folder)
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    names = [Path(os.path.relpath(path, root)).as_posix() for path in paths]
    return Listing(
        tuple(
            SourceFile(name, path, os.path.getsize(path), file_digest(Path(path)))
            for name, path in zip(names, paths, strict=True)
        )
    )


def _list_dataset(source: Source, dataset: str, fetch_options: FetchOptions) -> Listing:
    what = dataset, source.config, source.split, source.revision
    revision, found = range_fetcher().list_files(*what, fetch_options.retry_policy, source.files)
    for file in found:
        if source.integrity == "sha256" and file.sha256 is None:
            raise RecipeError(
                f"{source.kind} {source.name!r}: the hub lists no sha256 of {file.path}, a small file; "
                'use integrity = "stream"'
            )
    return Listing(tuple(SourceFile(f.path, f.url, f.size, f.sha256) for f in found), revision)


def local_files(source: Source, folder: Path) -> list[str]:
    """The paths that `files =` matches, each once, in canonical order. Raises `RecipeError` for a glob without any."""
    return list(dict.fromkeys(path for pattern in source.files for path in _match(source, pattern, folder.resolve())))


def _match(source: Source, pattern: str, folder: Path) -> list[str]:
    """The files of one glob. Their links are not followed: a hub cache's lead to files without a suffix."""
    found = [os.path.normpath(folder / match) for match in glob.glob(pattern, root_dir=folder, recursive=True)]
    matches = sorted(path for path in found if os.path.isfile(path))
    if not matches:
        what = "only folders" if found else "nothing"
        raise RecipeError(
            f"{source.kind} {source.name!r}: files = {pattern!r} matches {what} under {folder}; "
            "globs are of files, such as text/*.parquet, and relative to the recipe's folder"
        )
    return matches


def check_columns(source: Source, file: SourceFile, fetch_options: FetchOptions = FetchOptions()) -> None:
    """Raise `RecipeError` when `file` lacks a column the source names."""
    reader = _reader(file)
    with open_file(file, replace(fetch_options, cache_ranges=True)) as opened:
        found = reader.columns(opened, file.name)
    for column in source.columns:
        if found and column not in found:  # without any, no document is sound: reading says what is wrong with them
            raise RecipeError(
                f"source {source.name!r}: no column {column!r} in {file.name}; found {', '.join(sorted(found))}"
            )


def split_units(
    source: Source, file: SourceFile, unit_bytes: int, fetch_options: FetchOptions = FetchOptions()
) -> list[Unit]:
    """The units of one file, in order. Reads a parquet footer, nothing else."""
    if file.name.endswith(COMPRESSED):
        return [Unit(file, 0, file.size, int(file.size * COMPRESSED_TEXT_RATIO))]
    if _reader(file) is jsonl:
        starts = range(0, file.size, unit_bytes)
        return [Unit(file, s, min(s + unit_bytes, file.size), min(unit_bytes, file.size - s)) for s in starts]
    with open_file(file, replace(fetch_options, cache_ranges=True)) as opened:
        runs = parquet.row_group_runs(opened, file.name, source.text, unit_bytes)
    return [Unit(file, start, stop, text_bytes) for start, stop, text_bytes in runs]


def fetch_cost(source: Source, unit: Unit, fetch_options: FetchOptions = FetchOptions()) -> tuple[int, int]:
    """Bytes and ranges that reading a unit of a hub source asks for; of a local one nothing is fetched."""
    if source.dataset is None:
        return 0, 0
    if _reader(unit.file) is not parquet:
        return unit.stop - unit.start, -(-(unit.stop - unit.start) // BLOCK)
    with open_file(unit.file, replace(fetch_options, cache_ranges=True)) as opened:
        return parquet.fetch_cost(opened, unit.file.name, source.columns, unit.start, unit.stop)


def read(source: Source, unit: Unit, fetch_options: FetchOptions = FetchOptions()) -> Iterator[pa.RecordBatch]:
    """The documents of a unit in order, in batches of at most 1,000 rows.

    Columns, all strings: `text` (null where there is a fault), `id` and `url` (null where absent), `place`: where the
    document stands, `<file>:<row group>:<row>` or `<file>:<byte>`, stable under a pinned revision; `fault`: why it
    cannot be used (damage.py), null for a sound one.

    Raises `DataError` naming the place when the unit alone holds more damage than the source may lose,
    `SourceUnavailableError` when the hub or the disk does not give it.
    """
    names = (source.text, source.id, source.url)
    rules = source.max_document_bytes, source.at_least
    damaged: list[str] = []
    try:
        with _open_unit(source, unit, fetch_options) as opened:
            file = unit.file.name, unit.start, unit.stop
            for batch in _reader(unit.file).read(opened, *file, names, *rules):
                damaged += damaged_places(batch)
                check_damage_budget(source, damaged)
                yield batch
    except OSError as error:  # of the disk the source lies on; a writer around this would take it for its own
        raise SourceUnavailableError(
            f"cannot read {unit.file.location}: {error.strerror or error}; mend that, then run the same command again"
        ) from error


def check_damage_budget(source: Source, damaged: Sequence[str], n: int | None = None) -> None:
    """Raise `DataError` when `n` (default: all) damaged documents, `place: fault` each, are more than may be lost."""
    n = len(damaged) if n is None else n
    if n <= source.max_damaged:
        return
    place, _, fault = damaged[0].rpartition(": ")
    raise DataError(
        f"source {source.name!r}: {place}: {DAMAGE[fault]} ({fault}); found {n:,} damaged, max_damaged = "
        f"{source.max_damaged:,}. Mend the file or leave it out of the recipe, or raise this source's max_damaged"
    )


def _open_unit(source: Source, unit: Unit, fetch_options: FetchOptions) -> IO[bytes]:
    if source.integrity == "sha256":
        checked = open_checked(unit.file, fetch_options)
        try:
            _check_unit(source, unit, checked, fetch_options)
        except BaseException:
            checked.close()
            raise
        return checked
    opened = open_file(unit.file, fetch_options)
    if isinstance(opened, BufferedReader) and isinstance(opened.raw, RemoteFile):
        opened.raw.expect_blocks(unit.start, unit.stop)
    return opened


def _check_unit(source: Source, unit: Unit, checked: IO[bytes], fetch_options: FetchOptions) -> None:
    """Raise `SourceUnavailableError` when the unit was made from a footer that is not the file's: it was streamed."""
    if _reader(unit.file) is not parquet:
        return
    found = parquet.text_bytes(checked, unit.file.name, source.text, unit.start, unit.stop)
    if found != unit.text_bytes:
        RemoteFile(unit.file.location, unit.file.size, fetch_options).evict()
        raise SourceUnavailableError(f"{unit.file.name}: its footer came damaged; run the same command again")


def open_file(file: SourceFile, fetch_options: FetchOptions = FetchOptions()) -> IO[bytes]:
    """A seekable binary stream of a local or hub file. Raises `DataError` when a local file has changed its size."""
    if file.location.startswith("hf://"):
        remote = RemoteFile(file.location, file.size, fetch_options)
        return cast(IO[bytes], remote if _reader(file) is parquet else BufferedReader(remote, BLOCK))
    size = os.path.getsize(file.location) if os.path.exists(file.location) else None
    if size != file.size:
        raise DataError(
            f"{file.location}: found {'no file' if size is None else f'{size:,} bytes'}, expected {file.size:,} bytes "
            "as when the build began; put the file back, or build into a new folder"
        )
    return open(file.location, "rb")


def _reader(file: SourceFile):  # type: ignore[no-untyped-def]
    """The module that reads this kind of file: `parquet` or `lines`."""
    if file.name.endswith(".parquet"):
        return parquet
    if file.name.endswith((*COMPRESSED, ".jsonl", ".json", ".ndjson")):
        return jsonl
    raise RecipeError(f"{file.name}: cannot read this kind of file; expected .parquet, .jsonl, .jsonl.zst or .jsonl.gz")

"""Source files in an object store: `files = "s3://bucket/web/*.parquet"`, or any address that fsspec reaches.

They are listed and read in place, range by range. A store has no sha256, so a file is identified by its size and by
what the store says of its version: its ETag, or when it was changed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from typing import IO, Any, cast

from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError, StorageError
from gpts_data.pipelines.hub.remote_file import BLOCK
from gpts_data.pipelines.readers.globs import expand_braces
from gpts_data.pipelines.readers.kinds import COLUMNAR, READABLE, format_of
from gpts_data.pipelines.readers.local_files import is_bookkeeping, is_data
from gpts_data.pipelines.readers.source import FileSet, Listing, SourceFile
from gpts_data.pipelines.storage.atomic_files import json_digest
from gpts_data.pipelines.storage.paths import StorePath, as_path, is_store, store_errors
from gpts_data.pipelines.storage.store_file import StoreFile

VERSION_KEYS = ("ETag", "etag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")


def is_address(text: str) -> bool:
    """Whether `text` is the address of something in a store."""
    return "://" in text


def list_store_files(file_set: FileSet) -> Listing:
    """The files that the addresses in `files =` name; `revision` is a digest of their versions.

    Raises `RecipeError` for an address without a match and for files that cannot be read, `SourceUnavailableError` when
    the store cannot be reached.
    """
    found: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for pattern in file_set.files:
        found |= _match(pattern, f"{file_set.kind} {file_set.name!r}: files = {pattern!r}")
    if len(protocols := {address.partition("://")[0] for address, _ in found.values()}) > 1:
        raise RecipeError(
            f"{file_set.kind} {file_set.name!r}: files = {list(file_set.files)!r} names stores of several kinds "
            f"({', '.join(sorted(protocols))}); expected one, such as s3://; make a [[source]] of each"
        )
    root = posixpath.commonpath([posixpath.dirname(path) for path in found])
    files = [
        SourceFile(posixpath.relpath(path, root), address, int(entry["size"]), None)
        for path, (address, entry) in found.items()
    ]
    versions = [[path, entry["size"], _version(entry)] for path, (_, entry) in found.items()]
    return Listing(tuple(files), json_digest(versions))


def open_store_file(file: SourceFile) -> IO[bytes]:
    """A seekable binary stream of a file in a store. Raises `SourceUnavailableError`, here and when it is read."""
    path = _store_path(file.location, file.location)
    with _source_errors(path):
        stream = _SourceStream(path)
    if stream.size != file.size:
        raise DataError(
            f"{file.location}: found {stream.size:,} bytes, expected {file.size:,} bytes as when the build began; put "
            "the file back, or build into a new folder"
        )
    return cast(IO[bytes], stream) if format_of(file.name) in COLUMNAR else BufferedReader(stream, BLOCK)


def _match(pattern: str, what: str) -> dict[str, tuple[str, Mapping[str, Any]]]:
    """The files of one address, by path: their own address, and what the store says of them."""
    entries: dict[str, Mapping[str, Any]] = {}
    for option in expand_braces(pattern):
        path = _store_path(option, what)
        with _source_errors(path):
            try:
                matches = sorted(path.fs.glob(path.path, detail=True).items())
            except ValueError as error:  # a glob of buckets
                raise RecipeError(f"{what}: {error}; expected the name of one bucket or container") from error
            for name, entry in matches:
                if not is_data(name, path.path):
                    continue
                if entry["type"] == "directory":
                    inner = path.fs.find(name, detail=True)
                    entries |= {key: inner[key] for key in sorted(inner) if _is_data(key.removeprefix(name))}
                else:
                    entries[name] = entry
    if unreadable := [name for name in entries if not format_of(name)]:
        raise RecipeError(f"{what}: cannot read {unreadable[0]}; {READABLE}. Name the others by a glob")
    if not entries:
        raise RecipeError(f"{what} matches nothing; expected a file, a folder or a glob: s3://bucket/text/*.parquet")
    return {name: (path.fs.unstrip_protocol(name), entry) for name, entry in entries.items()}


def _store_path(address: str, what: str) -> StorePath:
    path = as_path(address)
    if not is_store(path):
        raise RecipeError(f"{what}: expected addresses in a store only, or local files only")
    return path


def _is_data(name: str) -> bool:
    return not any(is_bookkeeping(part) for part in name.split("/") if part)


def _version(entry: Mapping[str, Any]) -> str:
    """What tells this content of a file from another of the same size."""
    return next((str(entry[key]) for key in VERSION_KEYS if entry.get(key)), "")


class _SourceStream(StoreFile):
    """A file in a store whose errors are those of a source."""

    def __init__(self, path: StorePath) -> None:
        super().__init__(path)
        self._address = path

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def read(self, size: int | None = -1) -> bytes:
        with _source_errors(self._address):
            return super().read(size)


@contextmanager
def _source_errors(path: Any) -> Iterator[None]:
    """Turn errors of the store's client into `SourceUnavailableError`."""
    try:
        with store_errors(path):
            yield
    except (StorageError, FileNotFoundError, PermissionError) as error:
        raise SourceUnavailableError(f"cannot read {path}: {error}") from error

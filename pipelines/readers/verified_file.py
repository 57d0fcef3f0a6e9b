"""Files that are the listed ones: local files that did not change since, and whole files verified by their sha256.

A local file is hashed when it is listed. When it is opened for a unit, its inode and times of change must be the same
as then; otherwise it is hashed again. So a mix never has parts of two versions of a file.

With `integrity = "sha256"` a file is verified against its sha256 before a byte of it is used.
A flipped bit in a streamed parquet page mostly goes unnoticed: of 40 flips, snappy detected 2 and zstd 1. The hub lists
the sha256 of every large file, but only a whole file can be compared with it. Hub files are therefore downloaded into a
folder of bounded size in the output folder, once for all workers; local files are read once more.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from threading import Event
from typing import IO

from filelock import FileLock

from gpts_data.pipelines.errors import DataError, SourceUnavailableError
from gpts_data.pipelines.hub.client import name_of
from gpts_data.pipelines.hub.remote_file import BLOCK, FetchOptions, RemoteFile
from gpts_data.pipelines.machine import available_processors
from gpts_data.pipelines.readers.source import SourceFile
from gpts_data.pipelines.storage.atomic_files import file_digest, publish, storage_errors

log = logging.getLogger("gpts_data")
SPOOL_BYTES = 20 << 30  # ten of FineWeb-Edu's files of 2 GB: one for each of eight workers, and the next two
FETCHES = 3  # fetching again helps against network damage, not against a file that differs from the listing


def open_checked(file: SourceFile, fetch_options: FetchOptions) -> IO[bytes]:
    """Open a local copy of the file whose sha256 is the listed one.

    Raises `SourceUnavailableError` when what the hub serves is not what it lists, `DataError` when a local file has
    changed since the plan.
    """
    if file.location.startswith("hf://"):
        return _downloaded(file, replace(fetch_options, cache_ranges=False))
    return open_local(replace(file, version=UNTRUSTED))


UNTRUSTED = "untrusted"  # a version that no file has: the file is hashed when it is opened


def list_local_files(names: Sequence[str], paths: Sequence[str]) -> tuple[SourceFile, ...]:
    """List the local files `paths` under these names, in threads: reading and hashing them takes 1 s for 1 GB.

    Raises `SourceUnavailableError` when one is being written.
    """
    is_stopped = Event()

    def check() -> None:
        if is_stopped.is_set():
            raise CancelledError

    with ThreadPoolExecutor(available_processors()) as pool:
        try:
            return tuple(pool.map(partial(list_local, check=check), names, paths))
        finally:
            is_stopped.set()  # after an error or Ctrl-C no thread reads its file to the end


def list_local(name: str, path: str, check: Callable[[], object] = lambda: None) -> SourceFile:
    """A local file with its size, sha256 and state. Raises `SourceUnavailableError` when it is being written.

    check: as in `file_digest`.
    """
    before = os.stat(path)
    digest = file_digest(Path(path), check)
    version = state_of(before)
    if state_of(os.stat(path)) != version:
        raise SourceUnavailableError(
            f"{path} changed while it was read; wait until it is complete, then run the same command again"
        )
    return SourceFile(name, path, before.st_size, digest, version=version)


def open_local(file: SourceFile) -> IO[bytes]:
    """Open a local file. Raises `DataError` when it is not the one that was listed."""
    if not os.path.exists(file.location):
        raise _changed(file, "no file", f"{file.size:,} bytes")
    with ExitStack() as stack:
        opened = stack.enter_context(open(file.location, "rb"))
        stat = os.fstat(opened.fileno())
        if stat.st_size != file.size:
            raise _changed(file, f"{stat.st_size:,} bytes", f"{file.size:,} bytes")
        state = state_of(stat)
        if file.version and file.version != state and (found := _digest(file.location, state)) != file.sha256:
            raise _changed(file, f"sha256 {found}", str(file.sha256))
        stack.pop_all()
    return opened


@contextmanager
def unchanged(file: SourceFile, opened: IO[bytes]) -> Iterator[None]:
    """Raise `SourceUnavailableError` when a local file that is open was written to during the block.

    Fetched files are left out: other workers note their use in the file's times, and remove it to make room.
    """
    if file.location.startswith("hf://"):
        yield
        return
    before = _open_state(opened)
    yield
    if _open_state(opened) != before:
        raise SourceUnavailableError(
            f"{file.location} changed while it was read; leave it as it was when the build began, then run the same "
            "command again"
        )


def state_of(stat: os.stat_result) -> str:
    """Which file it is, and when its content or its times were last changed (a program cannot set st_ctime)."""
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


def _open_state(opened: IO[bytes]) -> str | None:
    try:
        return state_of(os.fstat(opened.fileno()))
    except OSError:  # of the Hub or of a store, whose files have versions
        return None


def _changed(file: SourceFile, found: str, expected: str) -> DataError:
    return DataError(
        f"{file.location}: found {found}, expected {expected} as when the build began; put the file back, or build "
        "into a new folder"
    )


@lru_cache(maxsize=4096)
def _digest(path: str, state: str) -> str:
    """The sha256 of a file, computed once per process and state of the file instead of once per unit."""
    return file_digest(Path(path))


def _downloaded(file: SourceFile, fetch_options: FetchOptions) -> IO[bytes]:
    if fetch_options.folder is None or file.sha256 is None:
        raise ValueError(f"{file.name}: verified downloads need a folder and a sha256")
    path = fetch_options.folder / "files" / file.sha256
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):  # one worker of the machine downloads, the others wait
            while True:
                with suppress(FileNotFoundError):  # not downloaded yet, or removed by another worker to make room
                    os.utime(path)
                    return open(path, "rb")
                with FileLock(path.parent.with_suffix(".lock")):
                    _make_room(path.parent, file.size)
                _fetch(file, path, fetch_options)


def _fetch(file: SourceFile, path: Path, fetch_options: FetchOptions) -> None:
    part = path.with_suffix(".part")
    for _ in range(FETCHES):
        found = _append(file, part, fetch_options)
        if found == file.sha256:
            publish(part, path)
            return
        part.unlink()
        log.warning("%s: fetched with sha256 %s, expected %s; fetching it again", file.name, found, file.sha256)
    raise SourceUnavailableError(
        f"{name_of(file.location)}: fetched {FETCHES} times, found sha256 {found}, expected {file.sha256} as the hub "
        "lists; check the proxy or mirror, then run the same command again"
    )


def _append(file: SourceFile, part: Path, fetch_options: FetchOptions) -> str:
    """Fetch the missing end of a file that a killed build may have left partly fetched. Returns the sha256 of all."""
    digest = hashlib.sha256()
    with (
        open(part, "a+b") as out,
        RemoteFile(file.location, file.size, FetchOptions(None, fetch_options.retry_policy)) as remote,
    ):
        out.seek(0)
        while block := out.read(BLOCK):
            digest.update(block)
        done = out.tell()
        remote.prefetch_blocks(done, file.size)
        remote.seek(done)
        while block := remote.read(BLOCK):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()


def _make_room(folder: Path, size: int) -> None:
    """Remove the least recently used files until `size` more bytes fit. Readers can finish files that are open."""
    files = sorted((path for path in folder.iterdir() if not path.suffix), key=lambda path: path.stat().st_mtime)
    total = sum(path.stat().st_size for path in files)
    for path in files:
        if total + size <= SPOOL_BYTES:
            return
        total -= path.stat().st_size
        path.unlink()

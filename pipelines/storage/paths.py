"""Where files are: in a folder, or in any store that fsspec reaches ("s3://bucket/mix").

A place in a store is universal_pathlib's twin of a `Path`, so what walks, names and reads small files need not know.
What differs is here: a store has no memory map and no rename; an object is there when the last byte of it is. Lists of
names are never asked whether something is done.
"""

from __future__ import annotations

import io
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.errors import GptsDataError, StorageError, UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 5  # of an upload; the clients of the stores try each request again by themselves
AT_ONCE = 16  # small reads
LONGEST_WAIT = 20.0  # seconds between two
_CLIENTS = {
    "botocore",
    "aiobotocore",
    "aiohttp",
    "s3fs",
    "gcsfs",
    "google",
    "adlfs",
    "azure",
    "ocifs",
    "oss2",
    "requests",
}


def as_path(text: str | Path) -> Path:
    """The place that a user or another process named. Raises `UsageError` for a store that cannot be reached."""
    if isinstance(text, Path) or "://" not in str(text):
        return Path(text)
    try:
        from upath import UPath

        found = UPath(str(text), use_listings_cache=False)
        found.fs  # noqa: B018 - imports the client of the store
    except (ImportError, ValueError) as error:
        raise UsageError(f"{text}: {error}. For s3:// install gpts-data[s3]; for others the package named") from error
    return cast(Path, found)


def is_store(path: Path) -> bool:
    """Whether it is in a store."""
    return not isinstance(path, Path)


def absolute(path: Path) -> Path:
    """The same place under a name that holds in other processes, whose working folder is another."""
    return path if is_store(path) else path.absolute()


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` is `folder` or in it."""
    return is_store(path) == is_store(folder) and path.resolve().is_relative_to(folder.resolve())


def is_store_error(error: BaseException) -> bool:
    """Whether a store's client raised it, or what it was raised from: they have many classes, and no common one."""
    chain = [error, error.__cause__, error.__context__]
    return any(type(link).__module__.split(".")[0] in _CLIENTS for link in chain)


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn what a store's client raises into a `StorageError`, but for a file that is there or not there.

    What a disk raises stays as it is (files.storage_errors).
    """
    if not is_store(path):
        yield
        return
    try:
        yield
    except (FileNotFoundError, FileExistsError, GptsDataError):
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not is_store_error(error):
            raise
        raise StorageError(store_error_message(error, str(path))) from error


def store_error_message(error: BaseException, where: str) -> str:
    """What to say of a store's error."""
    return (
        f"{where}: {type(error).__name__}: {error}. Check the address and your credentials, then run the same command "
        "again; finished work is kept"
    )


def unreachable(path: Path) -> str | None:
    """Why a store does not answer for the bucket of `path`; None when it does. Nothing is written."""
    try:
        with store_errors(path):
            _store(path).ls(path.drive)
    except (FileNotFoundError, StorageError) as error:
        return f"no bucket {path.drive}" if isinstance(error, FileNotFoundError) else str(error)
    return None


def open_arrow(path: Path) -> pa.NativeFile:
    """A file for pyarrow, to be closed: memory-mapped, or read range by range as it is asked for."""
    return pa.PythonFile(_Ranges(path), mode="r") if is_store(path) else pa.memory_map(str(path))


class _Ranges(io.RawIOBase):
    """A file of a store that asks for just the bytes that are read. Nothing is read ahead, nothing is kept."""

    def __init__(self, path: Path) -> None:
        self._path, self._place = path, 0
        with store_errors(path):
            self._size = path.stat().st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._place + size, self._size)
        content = read_range(self._path, self._place, stop) if stop > self._place else b""
        self._place += len(content)
        return content


def read_range(path: Path, start: int, stop: int) -> bytes:
    """Bytes `start..stop` of a file in a store."""
    with store_errors(path):
        return bytes(_store(path).cat_file(_name(path), start=start, end=stop))


def load_npy(path: Path) -> NDArray[Any]:
    """An .npy file: memory-mapped, or from a store, whole."""
    if not is_store(path):
        return cast(NDArray[Any], np.load(path, mmap_mode="r"))
    with store_errors(path):
        return cast(NDArray[Any], np.load(io.BytesIO(path.read_bytes())))


def read_all(read: Callable[[Item], Result], items: Sequence[Item], folder: Path) -> Iterator[Result]:
    """`read` of each item in order. From a store AT_ONCE at a time: each waits some 10 ms for its answer."""
    if not is_store(folder):
        yield from map(read, items)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def upload(file: Path, path: Path) -> None:
    """Put a file into a store: whole or not at all. Large ones go in parts; a failed upload is begun again."""
    from tenacity import Retrying, retry_if_not_exception_type, stop_after_attempt, wait_random_exponential

    refused = (PermissionError, FileNotFoundError)  # no bucket, no right: another attempt would not help
    with store_errors(path):
        for attempt in Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_random_exponential(max=LONGEST_WAIT),
            retry=retry_if_not_exception_type(refused),
            reraise=True,
        ):
            with attempt:
                _store(path).put_file(str(file), _name(path))


def create(path: Path, content: bytes) -> bool:
    """Write a file of a store unless there is one; False when there is, whatever it holds.

    The store decides between two that try at once: `If-None-Match: *` on S3, the like elsewhere.
    """
    with store_errors(path):
        try:
            _store(path).pipe_file(_name(path), content, mode="create")
        except OSError:  # s3fs has EINVAL for a condition that does not hold
            if not path.exists():
                raise
            return bytes(path.read_bytes()) == content  # an answer that got lost, and our own next attempt
    return True


def overwrite(path: Path, content: bytes) -> None:
    """Write a small file of a store, over what is there."""
    with store_errors(path):
        _store(path).pipe_file(_name(path), content)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing there is as good."""
    if not is_store(path):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return
    with store_errors(path):
        try:
            _store(path).rm(_name(path), recursive=True)
        except FileNotFoundError:
            return


def list_files(folder: Path) -> list[str]:
    """The names of all files below a folder, relative to it, sorted; also of those behind a link to a folder."""
    if not is_store(folder):
        return sorted(_below(folder, "", frozenset()))
    with store_errors(folder):
        root = _name(folder).rstrip("/")
        found = _store(folder).find(root)
    return sorted(path.removeprefix(root).lstrip("/") for path in found)


def _below(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[str]:
    here = os.path.realpath(folder)
    if here in above:
        yield prefix.rstrip("/")  # a link to a folder it lies in
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _below(folder / entry.name, f"{prefix}{entry.name}/", above | {here})
            else:
                yield prefix + entry.name


def local_copy(path: Path, folder: Path) -> Path:
    """A file on this machine's disk: itself, or of a store a copy in `folder`."""
    if not is_store(path):
        return path
    with store_errors(path):
        _store(path).get_file(_name(path), str(folder / path.name))
    return folder / path.name


def _store(path: Path) -> Any:
    return cast(Any, path).fs


def _name(path: Path) -> str:
    return str(cast(Any, path).path)

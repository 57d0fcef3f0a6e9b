"""Paths on disk and in object stores: list, read, upload, create and remove files in both by the same functions.

A store is anything that fsspec reaches, such as "s3://bucket/mix". Its paths are universal_pathlib's `UPath`, which has
the methods of `pathlib.Path`, so code that joins paths and reads small files handles both. Three things differ and are
dealt with here: a store has no memory maps, it has no rename, and an object becomes visible only once its last byte is
written. Whether work is done is never decided from a listing, since stores may list late; receipts.py decides that.
"""

from __future__ import annotations

import errno
import io
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import GptsDataError, StorageError, UsageError
from gpts_data.pipelines.storage.attempts import attempts

if TYPE_CHECKING:
    from typing_extensions import TypeIs
    from upath import UPath

StorePath: TypeAlias = "UPath"
"""A path in a store."""
AnyPath: TypeAlias = "Path | UPath"
"""A path on disk or in a store; `is_store` tells which, to mypy too."""

Item = TypeVar("Item")
Result = TypeVar("Result")

CONCURRENT_READS = 16  # of small files
BLOCK, STORE_BLOCK = 1 << 20, 8 << 20  # bytes of a file that are read at once, from disk and from a store
_CLIENT_OPTIONS: dict[str, dict[str, Any]] = {"s3": {"config_kwargs": {"max_pool_connections": 64}}}  # 10 by default
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)(.*)", re.DOTALL)  # not a drive: C:/
_STORE_CLIENTS = frozenset("botocore aiobotocore aiohttp s3fs gcsfs google adlfs azure ocifs oss2 requests".split())  # noqa: SIM905


def as_path(text: str | AnyPath) -> AnyPath:
    """The path that a user or another process named.

    Raises `UsageError` for an address without a bucket, and when no client for its store is installed.
    """
    match = None if isinstance(text, Path) else _ADDRESS.fullmatch(str(text))
    if not match:
        return Path(str(text))
    scheme, slash, rest = match.groups()
    if not slash or not rest.strip("/"):
        other = "" if slash else f"; a folder of this name is ./{text}"
        raise UsageError(f"{text}: expected a bucket after two slashes, such as {scheme.lower()}://bucket/mix{other}")
    try:
        from upath import UPath

        options = _CLIENT_OPTIONS.get(scheme.lower(), {})
        path: StorePath = UPath(f"{scheme.lower()}://{rest}", use_listings_cache=False, **options)
        path.fs  # noqa: B018 - imports the client of the store
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"{text}: {error}. For s3:// install gpts-data[s3]; for another store, the package that is named here"
        ) from error
    return path


def is_store(path: AnyPath) -> TypeIs[StorePath]:
    """Whether the path is in a store."""
    return not isinstance(path, Path)


def absolute(path: AnyPath) -> AnyPath:
    """The same path in a form that holds in other processes, whose working folder may differ."""
    return path if is_store(path) else path.absolute()


def is_inside(path: AnyPath, folder: AnyPath) -> bool:
    """Whether `path` is `folder` or lies in it, after links are resolved."""
    if is_store(path):
        return is_store(folder) and path.resolve().is_relative_to(folder.resolve())
    return not is_store(folder) and path.resolve().is_relative_to(folder.resolve())


def is_store_error(error: BaseException) -> bool:
    """Whether a store's client raised `error`, or the error it was raised from.

    Decided by the module of its class: the clients have no common base class, and importing them all takes seconds.
    """
    chain = [error, error.__cause__, error.__context__]
    return any(type(link).__module__.split(".")[0] in _STORE_CLIENTS for link in chain)


@contextmanager
def store_errors(path: AnyPath) -> Iterator[None]:
    """Turn errors of the store's client into `StorageError`, except that a file exists or does not exist.

    On disk nothing is changed; see `atomic_files.storage_errors`.
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
    """The message for an error of a store's client while `where` was read or written."""
    return (
        f"{where}: {type(error).__name__}: {error}. Check the address and your credentials, then run the same command "
        "again; finished work is kept"
    )


def unreachable(path: StorePath) -> str | None:
    """The reason why the bucket of `path` cannot be listed; None when it can. Nothing is written."""
    try:
        with store_errors(path):
            path.fs.ls(path.drive)
    except (FileNotFoundError, StorageError) as error:
        return f"no bucket {path.drive}" if isinstance(error, FileNotFoundError) else str(error)
    return None


def read_range(path: StorePath, start: int, stop: int | None) -> bytes:
    """Bytes `start..stop` of a file in a store, or up to its end; one request."""
    with store_errors(path):
        try:
            for attempt in attempts():
                with attempt:
                    content = bytes(path.fs.cat_file(path.path, start=start, end=stop))
            return content
        except FileNotFoundError as error:
            raise FileNotFoundError(errno.ENOENT, "the store does not have this object (yet)", str(path)) from error
        except OSError:  # S3 refuses a range that begins at the end of the file, such as any range of an empty one
            if path.stat().st_size > start:
                raise
            return b""


def read_bytes(path: AnyPath) -> bytes:
    """The content of a file. In a store this is one request; the path's own method also asks for the size."""
    return read_range(path, 0, None) if is_store(path) else path.read_bytes()


def read_blocks(path: AnyPath) -> Iterator[bytes]:
    """The content of a file, block by block. In a store each block is one request, and nothing else is asked."""
    if not is_store(path):
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
        return
    start, block = 0, b""
    while not start or len(block) == STORE_BLOCK:
        yield (block := read_range(path, start, start + STORE_BLOCK))
        start += STORE_BLOCK


def is_file(path: AnyPath) -> bool:
    """Whether there is a file. In a store this is one request; the path's own method also lists what is below it."""
    if not is_store(path):
        return path.is_file()
    try:
        read_range(path, 0, 1)
    except FileNotFoundError:
        return False
    return True


def remove_file(path: AnyPath) -> None:
    """Remove a file if it exists. In a store this is one request, whether or not it exists."""
    if not is_store(path):
        path.unlink(missing_ok=True)
        return
    with store_errors(path), suppress(FileNotFoundError):
        path.fs.rm_file(path.path)


def load_npy(path: AnyPath) -> NDArray[Any]:
    """The array of an .npy file: memory-mapped on disk, loaded whole from a store."""
    if not is_store(path):
        return cast(NDArray[Any], np.load(path, mmap_mode="r"))
    return cast(NDArray[Any], np.load(io.BytesIO(read_bytes(path))))


def read_all(
    read: Callable[[Item], Result], items: Sequence[Item], folder: AnyPath, concurrent: int = CONCURRENT_READS
) -> Iterator[Result]:
    """Yield `read(item)` for each item, in order.

    When `folder` is in a store, `concurrent` of them run at a time, because each waits some 10 ms for its answer.
    """
    if not is_store(folder):
        yield from map(read, items)
        return
    with ThreadPoolExecutor(concurrent) as pool:
        pending: deque[Future[Result]] = deque()
        for item in items:
            pending.append(pool.submit(read, item))
            if len(pending) >= concurrent:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


@contextmanager
def _writing(path: StorePath) -> Iterator[None]:
    """Translate errors like `store_errors`, for a file that is written: what is not found then is its bucket."""
    try:
        with store_errors(path):
            yield
    except FileNotFoundError as error:
        advice = "create it, or correct the address, then run the same command again"
        raise StorageError(f"{path}: the store has no bucket {path.drive}; {advice}") from error


def upload(file: Path, path: StorePath) -> None:
    """Copy a file from disk to a store: it appears whole or not at all. A failed upload is started again."""
    with _writing(path):
        for attempt in attempts():
            with attempt:
                path.fs.put_file(str(file), path.path)


def create(path: StorePath, content: bytes) -> bool:
    """Write a file in a store unless it exists. Returns whether the file now holds our `content`.

    The store itself decides between two writers that try at once: with `If-None-Match: *` on S3, similarly elsewhere.
    """
    with _writing(path):
        try:
            for attempt in attempts():
                with attempt:
                    path.fs.pipe_file(path.path, content, mode="create")
        except FileNotFoundError:
            raise
        except OSError:  # s3fs raises EINVAL when the condition is not met
            if not path.exists():
                raise
            return read_bytes(path) == content  # True when only the answer to our first attempt was lost
    return True


def overwrite(path: StorePath, content: bytes) -> None:
    """Write a small file in a store, whether or not it exists."""
    with _writing(path):
        for attempt in attempts():
            with attempt:
                path.fs.pipe_file(path.path, content)


def remove(path: AnyPath) -> None:
    """Remove a file, or a folder with all its content, if it exists."""
    if not is_store(path):
        is_folder = path.is_dir() and not path.is_symlink()  # what a link leads to is not ours
        shutil.rmtree(path) if is_folder else path.unlink(missing_ok=True)
        return
    with store_errors(path):
        try:
            path.fs.rm(path.path, recursive=True)
        except FileNotFoundError:
            return


def local_copy(path: AnyPath, folder: Path) -> Path:
    """The file on this machine's disk: `path` itself, or a copy of a store's file in `folder`."""
    if not is_store(path):
        return path
    with store_errors(path):
        path.fs.get_file(path.path, str(folder / path.name))
    return folder / path.name

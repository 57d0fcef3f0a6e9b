"""Atomic writes (a file is either whole or absent), digests of files, and canonical JSON.

This is the only module that renames a file to its final name. On disk: write a temporary file in the same folder,
fsync it, rename it, fsync the folder; without the two fsyncs a power failure can leave an empty file or undo the
rename. In a store: write the file to the local temporary folder, then upload it, which is atomic.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.storage.paths import AnyPath, StorePath, is_store, read_blocks, upload

TEMPORARY_SUFFIX = ".tmp"
UPLOAD_PREFIX = "gpts-data-upload-"  # of files in the local temporary folder
CONCURRENT_UPLOADS = 8
_together = threading.local()  # `uploads_together` of this thread: pool, uploads
_TEMPORARY = re.compile(r".+\.gpts-data-.+-\d+-\d+\.tmp")
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
_IN_THE_WAY = {errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP}  # a folder, file or link where another belongs
_NO_LINKS = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


class FileDigest(TypedDict):
    """Size of a file and its sha256 in hex."""

    bytes: int
    sha256: str


class ContentDigest(FileDigest):
    """The same of a file for whose values another version of a library may write other bytes."""

    content: str
    """Digest of the values."""


@contextmanager
def atomic_write(path: AnyPath) -> Iterator[IO[bytes]]:
    """Open a binary file that appears at `path` only when the block ends without an error.

    Raises `StorageError` when the disk or the store refuses the write; `path` is then as it was before.
    """
    if is_store(path):
        with storage_errors(Path(tempfile.gettempdir())), ExitStack() as stack:
            local = stack.enter_context(_upload_file())
            yield local
            local.flush()
            if (pool := getattr(_together, "pool", None)) is None:
                upload(Path(local.name), path)
            else:
                _together.uploads.append(pool.submit(_upload, stack.pop_all(), Path(local.name), path))
        return
    # unique per machine, process and thread: machines may share the folder, and a dask worker has several threads
    writer = f"gpts-data-{platform.node()}-{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f"{path.name}.{writer}{TEMPORARY_SUFFIX}")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            publish(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _upload(local: ExitStack, file: Path, path: StorePath) -> None:
    with local:  # removes the file
        upload(file, path)


@contextmanager
def uploads_together(folder: AnyPath) -> Iterator[None]:
    """Let the files that this thread writes inside the block be uploaded side by side, if `folder` is in a store.

    All of them are there when the block ends, so a receipt is written after it. On disk nothing is changed.
    """
    if not is_store(folder):
        yield
        return
    before = getattr(_together, "pool", None), getattr(_together, "uploads", [])
    with ThreadPoolExecutor(CONCURRENT_UPLOADS) as pool:
        uploads: list[Future[None]] = []
        _together.pool, _together.uploads = pool, uploads
        try:
            yield
        finally:
            _together.pool, _together.uploads = before
        for future in uploads:
            future.result()


def is_temporary(name: str) -> bool:
    """Whether a file of this name is a temporary one of `atomic_write`."""
    return _TEMPORARY.fullmatch(name) is not None


@contextmanager
def _upload_file() -> Iterator[IO[bytes]]:
    """A file in the local temporary folder, locked while it is in use; a killed process leaves it without the lock."""
    remove_dead_uploads(Path(tempfile.gettempdir()))
    while True:
        with ExitStack() as stack:
            stack.enter_context(suppress(FileNotFoundError))  # when the file is closed and gone already
            local = stack.enter_context(tempfile.NamedTemporaryFile(prefix=UPLOAD_PREFIX))
            fcntl.flock(local, fcntl.LOCK_EX)
            if os.path.exists(local.name):  # nobody took it for a dead one before it was locked
                stack.pop_all()
                break
    with local:
        yield cast(IO[bytes], local)


@lru_cache(maxsize=1)
def remove_dead_uploads(folder: Path) -> None:
    """Remove the files that killed uploads of this user left behind. It is done once per process."""
    for path in folder.glob(f"{UPLOAD_PREFIX}*"):
        with suppress(OSError):  # in use, of another user, or removed by somebody else
            if path.is_symlink() or not path.is_file() or path.stat().st_uid != os.getuid():
                continue
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def size_and_sha256(file: IO[bytes]) -> FileDigest:
    """Size in bytes and sha256, in hex, of all that was written so far into a file of `atomic_write`."""
    file.flush()
    return {"bytes": os.fstat(file.fileno()).st_size, "sha256": file_digest(Path(file.name))}


def publish(temporary: Path, path: Path) -> None:
    """Rename a file that is complete and synced to its final name."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def hard_link(source: AnyPath, path: AnyPath) -> bool:
    """Make `path` a hard link to `source`. Returns False where that is not possible and the file must be copied."""
    if is_store(source) or is_store(path):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    sync_folder(path.parent)
    return True


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an error of the disk that holds `path` (full, read-only, no permission) into a `StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise StorageError(disk_error_message(error, path)) from error
        if error.errno not in _DISK_ERRORS:
            raise
        reason = os.strerror(error.errno or 0)
        raise StorageError(
            f"cannot write {path}: {reason}. Free some space or fix the permissions, then run the same command again; "
            "finished work is kept"
        ) from error


def disk_error_message(error: OSError, path: Path | None = None) -> str:
    """The message for an error of a disk. path: what was read or written, if the error does not name it."""
    if error.errno not in _IN_THE_WAY:
        return str(error)
    return (
        f"{path or error.filename}: {os.strerror(error.errno)}. A regular file in a folder was expected; move away "
        "what is there, then run the same command again"
    )


def sync_folder(folder: Path) -> None:
    """fsync `folder`, so that renames inside it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: AnyPath, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def write_json(path: AnyPath, value: Any) -> None:
    write_bytes(path, pretty_json(value))


def pretty_json(value: Any) -> bytes:
    """JSON as all our files have it, so that equal values give equal bytes: sorted keys, indent 2, a final newline."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def json_digest(value: Any) -> str:
    """sha256, in hex, of the value's compact JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: AnyPath, check: Callable[[], object] = lambda: None) -> str:
    """sha256, in hex, of a file's bytes. `check` is called between blocks; it can raise an error to end this."""
    digest = hashlib.sha256()
    for block in read_blocks(path):
        check()
        digest.update(block)
    return digest.hexdigest()


def digest_of(content: bytes) -> FileDigest:
    """Size and sha256, in hex, of a file with this content."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def write_npy(path: AnyPath, array: NDArray[Any]) -> ContentDigest:
    """Write an .npy file and return its size, its sha256 and the digest of its values (`array_digest`)."""
    # np.save into the file itself writes through C's buffers and ignores an error of the last flush (numpy 2.4): a full
    # disk would leave a short file without an error
    content = BytesIO()
    np.save(content, array, allow_pickle=False)
    with atomic_write(path) as file:
        file.write(content.getbuffer())
        return {**size_and_sha256(file), "content": array_digest(array)}


def array_digest(array: NDArray[Any]) -> str:
    """sha256, in hex, of the values of an array: little-endian, in C order, as after the header of an .npy file."""
    values = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return hashlib.sha256(values.tobytes()).hexdigest()

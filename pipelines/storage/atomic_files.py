"""Files that are either whole or absent, their digests, and JSON that has one spelling.

The only place that renames a file into being. Commit protocol: temporary file in the same folder, fsync, rename, fsync
of the folder (open + write + rename alone is not crash-safe, and the rename lasts only once its folder is synced). In a
store (paths.py) an upload is all of that: it is written beside the worker, then put there whole.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.storage.paths import is_store, store_errors, upload

TEMPORARY_SUFFIX = ".tmp"
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
_NO_LINKS = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EACCES}


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` only when the block ends without an error.

    Raises `StorageError` when the disk or the store refuses; nothing is left under `path` then.
    """
    if is_store(path):
        with storage_errors(Path(tempfile.gettempdir())), tempfile.NamedTemporaryFile(prefix="gpts-data-") as whole:
            yield cast(IO[bytes], whole)
            whole.flush()
            upload(Path(whole.name), path)
        return
    # of this thread of this process of this machine: a folder may be shared, and a dask worker has many threads
    writer = f"{platform.node()}-{os.getpid()}-{threading.get_ident()}"
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


def size_and_sha256(file: IO[bytes]) -> dict[str, Any]:
    """Size and sha256, hex, of what was written into a `committed` file so far."""
    file.flush()
    return {"bytes": os.fstat(file.fileno()).st_size, "sha256": file_digest(Path(file.name))}


def publish(whole: Path, path: Path) -> None:
    """Give a file that is whole and synced its name."""
    os.replace(whole, path)
    sync_folder(path.parent)


def hard_link(source: Path, path: Path) -> bool:
    """Give the file `source` a second name, `path`; False where the file system cannot, so that it must be copied."""
    if is_store(source):
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
    """Turn a refusal of the disk under `path` into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        reason = os.strerror(error.errno or 0)
        raise StorageError(
            f"cannot write {path}: {reason}. Free some space or fix the permissions, then run the same command again; "
            "finished work is kept"
        ) from error


def sync_folder(folder: Path) -> None:
    """Make the renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, pretty_json(value))


def pretty_json(value: Any) -> bytes:
    """The one spelling of a JSON file of ours: sorted keys, two spaces, a final newline."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode()


def json_digest(value: Any) -> str:
    """sha256, hex, of the value's compact JSON with sorted keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256, hex, of a file's bytes."""
    with store_errors(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_npy(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    """A .npy file; returns its size and sha256. Not by np.save into the file: that writes through C's buffers and
    swallows a disk's refusal of the last of them (numpy 2.4), so that a full disk leaves a short file and no error."""
    content = BytesIO()
    np.save(content, array, allow_pickle=False)
    with atomic_write(path) as file:
        file.write(content.getbuffer())
        return size_and_sha256(file)

"""Locks that allow one writer per folder, and removal of the temporary files that killed writers left behind."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gpts_data.pipelines.errors import LockedError
from gpts_data.pipelines.storage.atomic_files import TEMPORARY_SUFFIX, is_temporary, storage_errors
from gpts_data.pipelines.storage.lease import is_alive, store_lease
from gpts_data.pipelines.storage.paths import AnyPath, is_store

LOCK_TIMEOUT = 0.2  # seconds: `is_locked` of another process holds the lock for some microseconds


@contextmanager
def folder_lock(work: AnyPath, refusal: str, name: str = "lock") -> Iterator[Callable[[], None]]:
    """Hold the lock of a folder on disk or in a store: a file called `name`. A lock on disk ends with its process.

    Yields a function to call now and then: it raises `LockedError` when the lock of a store was lost to another writer.
    Raises `LockedError` with the text `refusal` when another writer holds the lock.
    """
    if is_store(work):
        with store_lease(work / name, refusal) as lease:
            yield lease.check
        return
    from filelock import FileLock, Timeout

    with storage_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / name, timeout=LOCK_TIMEOUT)
    try:
        with storage_errors(work / name):
            lock.acquire()
    except Timeout as error:
        raise LockedError(refusal) from error
    try:
        yield lambda: None
    finally:
        lock.release()


def is_locked(work: AnyPath, name: str = "lock") -> bool:
    """Whether a writer holds the lock of a folder now. In a store with a lease, this takes up to 10 seconds."""
    if is_store(work):
        return is_alive(work / name)
    if not (work / name).is_file():
        return False
    with open(work / name, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False  # closing the file has ended our own lock


def remove_temporaries(*folders: AnyPath, below: bool = True) -> None:
    """Remove the temporary files of `atomic_write` that a killed process left in these folders, and no others.

    below: look in the folders below them too; False for folders that are not ours alone. A store has no such files: a
    failed upload leaves none.
    """
    for folder in folders:
        if is_store(folder):
            continue
        for path in (folder.rglob if below else folder.glob)(f"*{TEMPORARY_SUFFIX}"):
            if is_temporary(path.name) and path.is_file() and not path.is_symlink():
                path.unlink(missing_ok=True)  # a worker that was frozen may rename it now

"""One writer per folder, and nothing left in it of writers that were killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpts_data.pipelines.errors import LockedError
from gpts_data.pipelines.storage.atomic_files import TEMPORARY_SUFFIX, storage_errors
from gpts_data.pipelines.storage.lease import store_lease
from gpts_data.pipelines.storage.paths import is_store


@contextmanager
def folder_lock(work: Path, refusal: str) -> Iterator[Callable[[], None]]:
    """One writer per folder of work. The lock dies with its process. Raises `LockedError` with the text `refusal`.

    What it gives is called now and then, and raises when the lock of a store was lost.
    """
    if is_store(work):
        with store_lease(work / "lock", refusal) as lease:
            yield lease.check
        return
    from filelock import FileLock, Timeout

    with storage_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(refusal) from error
    try:
        yield lambda: None
    finally:
        lock.release()


def remove_temporaries(*folders: Path) -> None:
    """Remove what a killed build was writing when it died."""
    for folder in folders:
        if is_store(folder):
            continue  # an upload that died left nothing that has a name
        for path in folder.rglob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()

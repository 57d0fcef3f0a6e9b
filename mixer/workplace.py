"""The output folder while work goes on in it: one writer, nothing left of killed ones, nothing left in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpts_data.mixer.plan import Plan
from gpts_data.pipelines.errors import LockedError
from gpts_data.pipelines.files import TEMPORARY_SUFFIX, storage_errors


@contextmanager
def locked(plan: Plan) -> Iterator[None]:
    """One writer per folder. The lock dies with its process. Raises `LockedError`."""
    from filelock import FileLock, Timeout

    with storage_errors(plan.work):
        plan.work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(plan.work / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(f"another build is at work in {plan.folder}; wait for it, or choose another --out") from error
    try:
        yield
    finally:
        lock.release()
        if not (plan.work / "plan.json").exists():
            shutil.rmtree(plan.work, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what a killed build was writing when it died."""
    for path in folder.rglob(f"*{TEMPORARY_SUFFIX}"):
        path.unlink()


def abandon(plan: Plan) -> None:
    """Remove what cannot become a mix: the work, the tokenizer, and the folder if nothing else is in it."""
    shutil.rmtree(plan.work)
    shutil.rmtree(plan.folder / "tokenizer", ignore_errors=True)
    if not any(plan.folder.iterdir()):
        plan.folder.rmdir()


def clean_up(plan: Plan) -> None:
    """Remove the work of a finished build; what is left is the result."""
    shutil.rmtree(plan.work)

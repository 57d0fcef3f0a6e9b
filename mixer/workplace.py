"""The output folder while work goes on in it: one writer, nothing left of killed ones, nothing left in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gpts_data.mixer.plan import UNITS, Plan
from gpts_data.pipelines.errors import LockedError
from gpts_data.pipelines.files import TEMPORARY_SUFFIX, storage_errors


@contextmanager
def locked(plan: Plan) -> Iterator[None]:
    """One writer per folder, and per folder of kept units. A lock dies with its process. Raises `LockedError`."""
    with ExitStack() as held:
        held.enter_context(_lock(plan.work, plan.folder))
        held.callback(_leave_units, plan)
        if plan.keep_units:
            held.enter_context(_lock(plan.keep_units, plan.keep_units))
        yield


@contextmanager
def _lock(folder: Path, shown: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(f"another build is at work in {shown}; wait for it, or choose another --out") from error
    try:
        yield
    finally:
        lock.release()


def sweep(*folders: Path) -> None:
    """Remove what a killed build was writing when it died."""
    for folder in folders:
        for path in folder.rglob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()


def abandon(plan: Plan) -> None:
    """Give up a plan that cannot become a mix. Its units stay: a smaller one in this folder finds them."""
    (plan.work / "plan.json").unlink()
    shutil.rmtree(plan.folder / "tokenizer", ignore_errors=True)


def clean_up(plan: Plan) -> None:
    """Remove the work of a finished build; what is left is the result."""
    shutil.rmtree(plan.work)


def _leave_units(plan: Plan) -> None:
    """Of a build without a plan nothing stays but whole units; without these, no folder either."""
    if not plan.work.exists() or (plan.work / "plan.json").exists():
        return
    for entry in [entry for entry in plan.work.iterdir() if entry.name != UNITS]:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for folder in (plan.work, plan.folder):
        if not any(folder.iterdir()):
            folder.rmdir()

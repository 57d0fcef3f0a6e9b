"""The output folder while work goes on in it: one writer, nothing left of killed ones, nothing left in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gpts_data.mixer.plan import UNITS, Plan
from gpts_data.pipelines.errors import LockedError
from gpts_data.pipelines.storage.atomic_files import TEMPORARY_SUFFIX, storage_errors
from gpts_data.pipelines.storage.lease import leased
from gpts_data.pipelines.storage.paths import is_remote, remove


@contextmanager
def locked(plan: Plan) -> Iterator[Callable[[], None]]:
    """One build per folder, and per folder of kept units; gives what `held` gives. Raises `LockedError`."""
    with ExitStack() as stack:
        checks = [stack.enter_context(held(plan.work, _refusal(plan.folder)))]
        stack.callback(_leave_units, plan)
        if plan.keep_units:
            checks.append(stack.enter_context(held(plan.keep_units, _refusal(plan.keep_units))))
        yield lambda: _call(checks)


def _call(checks: Sequence[Callable[[], None]]) -> None:
    for check in checks:
        check()


def _refusal(folder: Path) -> str:
    return f"another build is at work in {folder}; wait for it, or choose another --out"


@contextmanager
def held(work: Path, refusal: str) -> Iterator[Callable[[], None]]:
    """One writer per folder of work. The lock dies with its process. Raises `LockedError` with the text `refusal`.

    What it gives is called now and then, and raises when the lock of a store was lost.
    """
    if is_remote(work):
        with leased(work / "lock", refusal) as lease:
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


def sweep(*folders: Path) -> None:
    """Remove what a killed build was writing when it died."""
    for folder in folders:
        if is_remote(folder):
            continue  # an upload that died left nothing that has a name
        for path in folder.rglob(f"*{TEMPORARY_SUFFIX}"):
            path.unlink()


def abandon(plan: Plan) -> None:
    """Give up a plan that cannot become a mix. Its units stay: a smaller one in this folder finds them."""
    (plan.work / "plan.json").unlink()
    remove(plan.folder / "tokenizer")


def clean_up(plan: Plan) -> None:
    """Remove the work of a finished build; what is left is the result."""
    remove(plan.work)
    remove(plan.scratch)


def _leave_units(plan: Plan) -> None:
    """Of a build without a plan nothing stays but whole units; without these, no folder either."""
    if not plan.work.exists() or (plan.work / "plan.json").exists():
        return
    for entry in [entry for entry in plan.work.iterdir() if entry.name != UNITS]:
        remove(entry)
    for folder in () if is_remote(plan.folder) else (plan.work, plan.folder):
        if not any(folder.iterdir()):
            folder.rmdir()

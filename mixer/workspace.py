"""The output folder while work goes on in it: one writer, nothing left of killed ones, nothing left in the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from gpts_data.mixer.plan import UNITS, Plan
from gpts_data.pipelines.storage.lock import folder_lock
from gpts_data.pipelines.storage.paths import AnyPath, is_store, remove


@contextmanager
def locked(plan: Plan) -> Iterator[Callable[[], None]]:
    """One build per folder, and per folder of kept units; gives what `held` gives. Raises `LockedError`."""
    with ExitStack() as stack:
        checks = [stack.enter_context(folder_lock(plan.work, _refusal(plan.folder)))]
        stack.callback(keep_only_units, plan)
        if plan.keep_units:
            checks.append(stack.enter_context(folder_lock(plan.keep_units, _refusal(plan.keep_units))))
        yield lambda: _call(checks)


def _call(checks: Sequence[Callable[[], None]]) -> None:
    for check in checks:
        check()


def _refusal(folder: AnyPath) -> str:
    return f"another build is at work in {folder}; wait for it, or choose another --out"


def discard_plan(plan: Plan) -> None:
    """Give up a plan that cannot become a mix. Its units stay: a smaller one in this folder finds them."""
    (plan.work / "plan.json").unlink()
    remove(plan.folder / "tokenizer")


def clean_up(plan: Plan) -> None:
    """Remove the work of a finished build; what is left is the result."""
    remove(plan.work)
    remove(plan.scratch)


def keep_only_units(plan: Plan) -> None:
    """Of a build without a plan nothing stays but whole units; without these, no folder either."""
    if not plan.work.exists() or (plan.work / "plan.json").exists():
        return
    for entry in [entry for entry in plan.work.iterdir() if entry.name != UNITS]:
        remove(entry)
    for folder in () if is_store(plan.folder) else (plan.work, plan.folder):
        if not any(folder.iterdir()):
            folder.rmdir()

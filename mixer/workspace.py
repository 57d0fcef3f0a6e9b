"""The output folder during a build: lock it, and remove what is no longer needed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.plan import UNITS, Plan
from gpts_data.pipelines.errors import ForeignFolderError
from gpts_data.pipelines.storage.lock import folder_lock
from gpts_data.pipelines.storage.paths import AnyPath, is_store, remove

UNITS_LOCK = ".gpts-data.lock"  # in a folder of the user, who may have a file called "lock" there
TOKENIZERS = ".gpts-data-tokenizers"  # there: copies of the tokenizers that the units were made with
REMOVALS = 100  # attempts to remove a folder that another finished build removes, or creates again, at the same time


@contextmanager
def locked(plan: Plan) -> Iterator[Callable[[], None]]:
    """Lock the output folder and the folder of kept units for this build.

    Yields a function that raises `LockedError` once a lock in a store was lost. Raises `LockedError` when another build
    holds a folder, and `ForeignFolderError` when there are symbolic links where the build writes.
    """
    _refuse_links(plan)
    with ExitStack() as stack:
        checks = [stack.enter_context(folder_lock(plan.work, _refusal(plan.folder)))]
        stack.callback(keep_only_units, plan)
        if plan.keep_units:
            checks.append(stack.enter_context(folder_lock(plan.keep_units, _refusal(plan.keep_units), UNITS_LOCK)))
        yield lambda: _call(checks)


def _refuse_links(plan: Plan) -> None:
    """Raise `ForeignFolderError` for a symbolic link in the output folder or in place of a folder of kept units: the
    build would write to where it leads. The two folders themselves may be links."""
    paths: list[str] = []
    if not is_store(plan.folder):
        for parent, folders, files in os.walk(plan.folder):  # links are not followed
            paths += [os.path.join(parent, name) for name in (*folders, *files)]
    if plan.keep_units and not is_store(plan.keep_units):
        paths += [str(plan.keep_units / name) for name in (UNITS_LOCK, TOKENIZERS, *plan.recipe.names)]
    if link := next(filter(os.path.islink, paths), None):
        raise ForeignFolderError(
            f"{link} is a symbolic link, and the build would write to where it leads; delete the link, or choose "
            "another folder"
        )


def _call(checks: Sequence[Callable[[], None]]) -> None:
    for check in checks:
        check()


def _refusal(folder: AnyPath) -> str:
    return f"another build is at work in {folder}; wait until it ends, or choose another --out"


def discard_plan(plan: Plan) -> None:
    """Discard a plan whose sources are too short. Its units stay: a smaller mix in this folder can use them."""
    if is_store(plan.work):
        remove(plan.scratch)  # plan.json has its name
    (plan.work / "plan.json").unlink()
    remove(plan.folder / "tokenizer")


def clean_up(plan: Plan) -> None:
    """Remove all intermediate files of a finished build. Another run of this build may do so at the same time."""
    _remove_with_others(plan.scratch)  # first: plan.json in `work` has its name
    _remove_with_others(plan.work)


def keep_only_units(plan: Plan) -> None:
    """If the build has no plan, remove its intermediate files except units, and folders that are then empty."""
    if (plan.folder / NAME).exists() or not plan.work.exists() or (plan.work / "plan.json").exists():
        return
    with suppress(FileNotFoundError):  # another run of a finished build removes them too
        for entry in [entry for entry in plan.work.iterdir() if entry.name != UNITS]:
            _remove_with_others(entry)
        for folder in () if is_store(plan.folder) else (plan.work, plan.folder):
            if not folder.is_symlink() and not any(folder.iterdir()):
                folder.rmdir()


def _remove_with_others(path: AnyPath) -> None:
    for attempt in range(REMOVALS):
        try:
            remove(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY) or attempt == REMOVALS - 1:
                raise

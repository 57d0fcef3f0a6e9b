"""Is there room on the disk? Asked before a build begins and before the stages that write the most.

What is asked for is a lower bound, so that nothing is refused that could be done: the ids alone, 2 bytes each, in the
units, the cuts and the shards, which are all there at once in the end. needs.py estimates the whole; a disk that gets
full on the way says that estimate.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gpts_data.mixer.assemble import Shard
from gpts_data.mixer.cut import Cut
from gpts_data.mixer.needs import ID_BYTES, disk_bytes
from gpts_data.mixer.plan import Plan
from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.storage.disk import free_bytes, used_bytes
from gpts_data.pipelines.storage.paths import is_remote

FULL = (errno.ENOSPC, errno.EDQUOT)


def room_to_begin(plan: Plan) -> None:
    """Raise `StorageError` when the disk cannot hold the ids three times, counting what is there of them."""
    if is_remote(plan.folder):
        return
    tokens = sum(plan.recipe.windows) * plan.recipe.window
    copies = 2 if plan.keep_units else 3
    _require(plan, copies * tokens * ID_BYTES - used_bytes(plan.folder), "the build")


def room_to_cut(plan: Plan, cuts: Sequence[Cut], shards: Sequence[Shard]) -> None:
    """Raise `StorageError` when cuts and shards that are not there yet have no room."""
    if is_remote(plan.folder):
        return
    units = sum(task.parts[0].tokens for task in cuts if not task.path.exists())
    windows = sum(task.stop - task.start for task in shards if not task.path.exists())
    budget = sum(plan.recipe.windows) * plan.recipe.window
    _require(plan, (min(units, budget) + windows * plan.recipe.window) * ID_BYTES, "cutting and assembling")


@contextmanager
def told(plan: Plan) -> Iterator[None]:
    """Add to a full disk's `StorageError` what the build needs in all."""
    try:
        yield
    except StorageError as error:
        if is_remote(plan.folder) or getattr(error.__cause__, "errno", None) not in FULL:
            raise
        wanted, there, free = disk_bytes(plan.recipe), used_bytes(plan.folder), free_bytes(plan.folder)
        raise StorageError(
            f"{error}. The build takes about {wanted:,} bytes at its peak, {there:,} are there, {free:,} are free"
        ) from error


def _require(plan: Plan, needed: int, what: str) -> None:
    free = free_bytes(plan.folder)
    if needed > free:
        raise StorageError(
            f"{plan.folder}: {what} takes {needed:,} bytes more at least, {free:,} are free. Free {needed - free:,} or "
            "more, or choose --out on another disk, then run the same command again; finished work is kept"
        )

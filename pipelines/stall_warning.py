"""A warning for a stage in which no task finishes for minutes, so that a build never waits without saying for what."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

STALL_SECONDS = 300.0  # a task of 64 MB of text takes some 3 seconds, one that waits for the hub says so itself

log = logging.getLogger("gpts_data")


class StallWarning:
    """Warns when no task has finished for STALL_SECONDS, and again each time that as much time has passed."""

    def __init__(self) -> None:
        self._last_result = self._last_warning = time.monotonic()

    def reset(self) -> None:
        """A task has finished."""
        self._last_result = self._last_warning = time.monotonic()

    def check(self, running: Callable[[], str]) -> None:
        """Log the warning if it is due. `running` describes what has not finished."""
        now = time.monotonic()
        if now - self._last_warning < STALL_SECONDS:
            return
        self._last_warning = now
        log.warning("no task has finished for %.0f minutes; waiting for %s", (now - self._last_result) / 60, running())


def task_name(task: Any) -> str:
    """The name of a task in messages: its unit, or the file that it writes."""
    unit = getattr(getattr(task, "unit", None), "name", None)
    return str(unit or getattr(task, "path", None) or task)[:200]

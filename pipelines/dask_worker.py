"""Runs one task in a worker of a dask cluster, and forwards its log messages to the process of the client."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from gpts_data.pipelines.environment import Expected

TOPIC = "gpts-data"
"""The topic under which workers forward log messages, such as pauses before a source is tried again."""

log = logging.getLogger("gpts_data")

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_worker(function: Callable[[Task], Result], task: Task, expected: Expected) -> Result:
    """Check the environment of this worker, forward log messages, and run the task.

    Raises `UsageError` when the environment differs from the expected one, and what the task raises.
    """
    from distributed import get_worker

    if sys.version_info < (3, 12):
        _stop_profiler()
    expected.check(get_worker().address)
    if not any(isinstance(handler, _Forward) for handler in log.handlers):
        log.addHandler(_Forward())
        log.propagate = False
    return function(task)


def _stop_profiler() -> None:
    """Stop dask's profiler of the tasks of this worker.

    It calls `sys._current_frames` 100 times a second. Before Python 3.12 that can freeze the process for ever, when it
    starts a garbage collection while another thread starts or ends (https://github.com/python/cpython/issues/106883).
    For the same reason dask leaves its other profiler, of the event loop, out on Python 3.11.
    """
    from distributed import get_worker

    worker = get_worker()
    profiler = worker.periodic_callbacks.get("profile")  # none where dask's configuration says so
    if profiler and profiler.is_running():
        worker.loop.add_callback(profiler.stop)  # in the thread that runs it


class _Forward(logging.Handler):
    """Forwards log messages from a worker to the process of the client."""

    def emit(self, record: logging.LogRecord) -> None:
        from distributed import get_worker

        get_worker().log_event(TOPIC, record.getMessage())

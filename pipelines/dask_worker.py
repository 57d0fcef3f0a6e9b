"""Runs one task in a worker of a dask cluster, and forwards its log messages to the process of the client."""

from __future__ import annotations

import logging
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

    expected.check(get_worker().address)
    if not any(isinstance(handler, _Forward) for handler in log.handlers):
        log.addHandler(_Forward())
        log.propagate = False
    return function(task)


class _Forward(logging.Handler):
    """Forwards log messages from a worker to the process of the client."""

    def emit(self, record: logging.LogRecord) -> None:
        from distributed import get_worker

        get_worker().log_event(TOPIC, record.getMessage())

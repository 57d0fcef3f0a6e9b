"""The engine of `--workers auto`: runs tasks in this process, and in worker processes where these save time.

The process that workers are forked from takes 0.9 s to import the package and load the kernels, and each worker 0.2 s
before its first task (benchmarks/README.md). So workers are started when a stage has so much text that this is a third
of its time in one process or less; later stages then use them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

from gpts_data.pipelines.machine import available_memory, available_processors
from gpts_data.pipelines.worker_pool import WorkerPool, open_worker_pool

MIN_TEXT_BYTES = 128_000_000  # some 3 s in one process; two workers are ready 1 s later and take 1.6 s
TEXT_BYTES_PER_WORKER = 32_000_000  # 0.7 s
MEMORY_BYTES_PER_WORKER = 600_000_000

Task = TypeVar("Task")
Result = TypeVar("Result")
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]


class AdaptiveEngine:
    """Runs tasks in this process until a stage has enough text for workers."""

    def __init__(self, workers: ExitStack, in_process: Map, warm_up: Callable[[], object] | None = None) -> None:
        self._workers, self._map_in_process, self._warm_up = workers, in_process, warm_up
        self._pool: WorkerPool | None = None

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Run the tasks like `Engine.map`, with worker processes if they save time."""
        tasks = list(tasks)
        if self._pool is None and (size := choose_workers(sum(map(_text_bytes, tasks)), len(tasks))) > 1:
            self._pool = self._workers.enter_context(open_worker_pool(size, self._warm_up))
        if self._pool is None or len(tasks) < 2:
            return self._map_in_process(function, tasks)
        return self._pool.map(function, tasks)


def choose_workers(text_bytes: int, tasks: int) -> int:
    """Return the number of workers with which so much text, divided into so many tasks, is read soonest."""
    if text_bytes < MIN_TEXT_BYTES:
        return 1
    return max(min(tasks, text_bytes // TEXT_BYTES_PER_WORKER, fitting_workers()), 1)


def fitting_workers() -> int:
    """Return how many workers this machine has processors and memory for, at least 1."""
    return max(min(available_processors(), available_memory().available // MEMORY_BYTES_PER_WORKER), 1)


def _text_bytes(task: Any) -> int:
    """Return the bytes of text that a task reads, 0 for one that reads no text."""
    unit_bytes: int = getattr(getattr(task, "unit", None), "text_bytes", 0)
    return min(unit_bytes, getattr(task, "quota", unit_bytes))  # a piece of the tokenizer's sample reads its quota

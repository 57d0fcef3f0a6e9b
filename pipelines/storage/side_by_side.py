"""Tasks that run at the same time in this process, so that one works while others wait for an object store.

A task asks a store for its receipt and its inputs, uploads its files, and then its receipt: some six requests, each of
which waits for the answer to the one before. Tasks run in threads of their own, from their first request to their last.
So nothing changes inside of a task: its receipt is written after its files, and its error is raised as it is.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from gpts_data.pipelines.storage.paths import CONCURRENT_READS, AnyPath, is_store

MEMORY_BYTES = 600_000_000  # of the tasks that run at the same time: four shards of 134 MB
_thread = threading.local()  # `run` of this thread, if it runs a task of `run_side_by_side`

Task = TypeVar("Task")
Result = TypeVar("Result")


class StoppedError(Exception):
    """Another task has failed, or the user has stopped the command."""


@dataclass
class _Run:
    """What the threads of one call of `run_side_by_side` share."""

    processor: threading.Lock = field(default_factory=threading.Lock)
    is_stopped: bool = False

    def check(self) -> None:
        if self.is_stopped:
            raise StoppedError


def run_side_by_side(
    function: Callable[[Task], Result], tasks: Iterable[Task], folder: AnyPath | None
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order.

    If `folder` is in a store, tasks with an attribute `memory_bytes` run at the same time: up to CONCURRENT_READS of
    them, which together take MEMORY_BYTES at most. All others run one after the other.
    """
    if folder is None or not is_store(folder):
        yield from map(function, tasks)
        return
    run = _Run()

    def run_task(task: Task) -> Result:
        _thread.run = run
        return function(task)

    running: deque[tuple[int, Future[Result]]] = deque()

    def has_room(size: int) -> bool:
        return len(running) < CONCURRENT_READS and sum(other for other, _ in running) + size <= MEMORY_BYTES

    with ThreadPoolExecutor(CONCURRENT_READS) as pool:
        try:
            for task in tasks:
                size = getattr(task, "memory_bytes", None)
                if size is None:
                    yield function(task)
                    continue
                while running and not has_room(size):
                    yield running.popleft()[1].result()
                running.append((size, pool.submit(run_task, task)))
            while running:
                yield running.popleft()[1].result()
        finally:
            run.is_stopped = True


@contextmanager
def processor() -> Iterator[Callable[[], None]]:
    """In a task that runs side by side with others: wait until none of them is inside of such a block.

    It is for work of seconds without a request. Yields a function to call now and then: it raises `StoppedError` when
    the task's result is not needed any more.
    """
    run: _Run | None = getattr(_thread, "run", None)
    if run is None:
        yield lambda: None
        return
    with run.processor:
        yield run.check

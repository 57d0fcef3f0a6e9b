"""The engine that runs tasks in worker processes on this machine.

A worker that dies is replaced, and its task runs again. So is one that stays stopped by a signal.

Why not a `LocalCluster` of dask: it listens on TCP ports, where every user of the machine can have code run; one
worker costs 4 s of processor time to start; with a stopped worker, Ctrl-C took 116 s. Why not `ProcessPoolExecutor`:
one killed worker ends all the others, and its workers import the calling script, which then needs a main guard.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.local_worker import Answer, LogMessage, Worker, WorkerTraceback
from gpts_data.pipelines.stall_warning import StallWarning, task_name
from gpts_data.pipelines.storage.atomic_files import storage_errors
from gpts_data.pipelines.worker_server import WorkerServer, can_fork

ALLOWED_DEATHS = 3  # of workers that run the same task, as dask allows by default
POLL_SECONDS = 1.0  # longest wait for a message before the workers' states are looked at
STOPPED_POLLS = 60  # polls for which a worker may be stopped by a signal before it is replaced

log = logging.getLogger("gpts_data")

Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerPool:
    """The engine that runs tasks in up to `size` worker processes; it starts one when there is a task for it."""

    def __init__(self, size: int, folder: Path, server: WorkerServer | None = None) -> None:
        self._size, self._folder, self._server = size, folder, server
        self._workers: list[Worker] = []
        self._idle: list[Worker] = []
        self._run: _Run | None = None

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """As `Engine.map`. Also raises `GptsDataError` for a task whose workers die."""
        if self._run:
            self._run.cancel()  # its results were not used to the end
        run = self._run = _Run(self, function, list(tasks))
        try:
            yield from run.results()
        finally:
            run.cancel()

    def idle_worker(self) -> Worker | None:
        """A worker that runs nothing, started if there are fewer than `size`; else None."""
        if self._idle:
            return self._idle.pop()
        if len(self._workers) == self._size:
            return None
        worker = Worker(self._folder, self._server.fork) if self._server else Worker(self._folder)
        self._workers.append(worker)
        return worker

    def put_back(self, worker: Worker) -> None:
        self._idle.append(worker)

    def kill(self, worker: Worker) -> str:
        """End a worker. Returns how it ended, in words."""
        self._workers.remove(worker)
        return worker.kill()

    def close(self) -> None:
        """End all workers at once: their tasks are safe to be killed at any moment."""
        for worker in self._workers:
            worker.begin_to_kill()
        if self._run:
            self._run.cancel()
        while self._workers:
            self.kill(self._workers[-1])
        if self._server:
            self._server.close()


class _Run:
    """One call of `WorkerPool.map`: which tasks wait, by number, and which worker runs which."""

    def __init__(self, pool: WorkerPool, function: Callable[[Any], Any], tasks: Sequence[Any]) -> None:
        self._pool, self._function, self._tasks = pool, function, tasks
        self._waiting = deque(range(len(tasks)))
        self._running: dict[Connection, tuple[Worker, int]] = {}
        self._deaths: Counter[int] = Counter()
        self._last_poll = time.monotonic()
        self._cancelled = False

    def results(self) -> Iterator[Any]:
        stall = StallWarning()
        while self._waiting or self._running:
            if self._cancelled:
                raise RuntimeError("these results ended when the pool was closed or given other tasks")
            self._hand_out()
            answers = [answer for pipe in wait(list(self._running), POLL_SECONDS) for answer in self._receive(pipe)]
            self._hand_out()  # before the caller has the results, so that no worker waits for the caller
            for answer in answers:
                stall.reset()
                if answer.error:
                    raise answer.error from WorkerTraceback(answer.traceback)
                yield answer.result
            stall.check(self._describe)
            self._replace_stopped()

    def cancel(self) -> None:
        """End the workers that run tasks. `results` cannot go on."""
        self._cancelled = True
        while self._running:
            worker, _ = self._running.popitem()[1]
            self._pool.kill(worker)

    def _hand_out(self) -> None:
        while self._waiting and (worker := self._pool.idle_worker()):
            number = self._waiting[0]
            try:
                worker.send(self._function, self._tasks[number])
            except OSError:  # it died or was stopped while it had nothing to do
                self._pool.kill(worker)
                continue
            except BaseException:  # a task that cannot be pickled, or Ctrl-C in the middle of a message
                self._pool.kill(worker)
                raise
            self._running[worker.pipe] = worker, self._waiting.popleft()

    def _receive(self, pipe: Any) -> Iterator[Answer]:
        """The answer that a worker sent, if it sent one."""
        worker, number = self._running[pipe]
        try:
            message: LogMessage | Answer = pipe.recv()
        except (EOFError, OSError):
            self._replace(worker, number, self._pool.kill(worker))
            return
        if isinstance(message, LogMessage):
            log.log(message.level, "%s", message.text)
            return
        del self._running[pipe]
        self._pool.put_back(worker)
        yield message

    def _replace(self, worker: Worker, number: int, end: str) -> None:
        """Have the task of a worker that ended run again, or raise `GptsDataError` when that happened too often."""
        del self._running[worker.pipe]
        name = task_name(self._tasks[number])
        self._deaths[number] += 1
        if self._deaths[number] > ALLOWED_DEATHS:
            raise GptsDataError(
                f"{name}: its worker died {self._deaths[number]} times; the last one {end}. Most likely memory ran "
                "out: use fewer --workers, then run the same command again; finished work is kept"
            )
        log.warning("the worker process %d %s; another one runs %s again", worker.pid, end, name)
        self._waiting.appendleft(number)

    def _replace_stopped(self) -> None:
        """Replace workers that were stopped in STOPPED_POLLS polls. Polls are counted, since Ctrl-Z stops us too."""
        if time.monotonic() - self._last_poll < POLL_SECONDS:
            return
        self._last_poll = time.monotonic()
        for worker, number in list(self._running.values()):
            worker.stopped_polls = worker.stopped_polls + 1 if worker.is_stopped() else 0
            if worker.stopped_polls >= STOPPED_POLLS:
                self._pool.kill(worker)
                self._replace(worker, number, "was stopped by a signal and did not go on")

    def _describe(self) -> str:
        running = (f"{task_name(self._tasks[number])} (process {w.pid})" for w, number in self._running.values())
        return f"{', '.join(running)}. kill -USR1 with such a number prints what that process does"


@contextmanager
def open_worker_pool(size: int, warm_up: Callable[[], object] | None = None) -> Iterator[WorkerPool]:
    """Open a pool of up to `size` workers; at the end no process and no file of theirs is left.

    warm_up: loads what the tasks need; it is called once, before all workers are forked from the process that called
    it. Without it, each worker starts with nothing loaded.
    """
    with storage_errors(Path(tempfile.gettempdir())):
        temporary = tempfile.TemporaryDirectory(prefix="gpts-data-workers-", ignore_cleanup_errors=True)
    with temporary as folder:
        server = WorkerServer(warm_up, Path(folder)) if warm_up and can_fork() else None
        pool = WorkerPool(size, Path(folder), server)
        try:
            yield pool
        finally:
            pool.close()

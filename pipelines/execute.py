"""Run one function over many tasks: in this process, or on a dask cluster. The only file that knows dask.

Tasks are pure, coarse (a unit or a shard each: dask costs some 4.6 ms a task) and safe to run twice, so it does not
matter where, in which order or how often they run.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError, UsageError

CONNECT_TIMEOUT = "20s"
TOPIC = "gpts-data"  # what workers say: that they wait for a source, and for how long

log = logging.getLogger("gpts_data")

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Where tasks run."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Results as they are ready, in any order. The first error of a task is raised and the rest is given up."""


class InProcess:
    """One task after the other, here."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return (function(task) for task in tasks)


class Dask:
    """Tasks on the workers of a dask client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        client.subscribe_topic(TOPIC, lambda event: log.warning("%s", event[1]))

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        from distributed import KilledWorker, as_completed

        futures = {self._client.submit(_in_worker, function, task, pure=False): task for task in tasks}
        try:
            for future in as_completed(futures):
                try:
                    yield future.result()
                except KilledWorker as error:
                    raise GptsDataError(
                        f"the worker died each time it worked on {getattr(futures[future], 'path', futures[future])}; "
                        "most likely it was out of memory: "
                        "use fewer --workers, then run the same command again"
                    ) from error
        finally:
            self._client.cancel(list(futures))


class _Forward(logging.Handler):
    """Says in the process of the client what is logged in a worker."""

    def emit(self, record: logging.LogRecord) -> None:
        from distributed import get_worker

        get_worker().log_event(TOPIC, record.getMessage())


def _in_worker(function: Callable[[Task], Result], task: Task) -> Result:
    if not any(isinstance(handler, _Forward) for handler in log.handlers):
        log.addHandler(_Forward())
        log.propagate = False
    return function(task)


@contextmanager
def open_engine(workers: int = 1, scheduler: str | None = None) -> Iterator[Engine]:
    """The engine for `workers` processes on this machine, or for a running cluster at `scheduler` ("tcp://host:port").

    Raises `SourceUnavailableError` when the scheduler cannot be reached, `UsageError` for what is no address.
    """
    if scheduler is None and workers == 1:
        yield InProcess()
        return
    from distributed import Client

    if scheduler is None:
        with _same_environment(), _local_cluster(workers) as cluster, Client(cluster) as client:
            yield Dask(client)
        return
    try:
        client = Client(scheduler, timeout=CONNECT_TIMEOUT)
    except ValueError as error:
        raise UsageError(f"--scheduler {scheduler!r}: {error}; expected an address like tcp://host:8786") from error
    except OSError as error:
        raise SourceUnavailableError(
            f"no dask scheduler answers at {scheduler}; start one with `dask scheduler`"
        ) from error
    with client:
        yield Dask(client)


@contextmanager
def _same_environment() -> Iterator[None]:
    """Undo what dask sets in this process for its workers: OMP_NUM_THREADS=1 would slow a training after it."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _local_cluster(workers: int) -> Any:
    """Worker processes of one thread each. Their own log lines are left out: an error of a task arrives as itself."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.CRITICAL,
        preload=[__name__],
    )


def dask_setup(worker: object) -> None:
    """Called by dask in each worker of ours as it starts: Ctrl-C is for the process that holds the cluster."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Run one function over many tasks: in this process, or on a dask cluster. The only file that knows dask.

Tasks are pure, coarse (a unit or a shard each: dask costs some 4.6 ms a task) and safe to run twice, so it does not
matter where, in which order or how often they run. A worker that dies or freezes costs the task it had: dask gives it
to another one, as soon as the connection breaks or no heartbeat came for its worker-ttl.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from gpts_data.pipelines.environment import Expected, environment
from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError, UsageError
from gpts_data.pipelines.storage.paths import AnyPath

CONNECT_TIMEOUT = "20s"
ANSWER = 20.0  # seconds for workers to say what they are
WORKER_TTL = "60s"  # of a cluster of ours; dask's own 5 minutes are for workers whose tasks hold the interpreter
TOPIC = "gpts-data"  # what workers say: that they wait for a source, and for how long
DEATHS = ("was killed by signal", "exited with status", "memory budget", "unexpectedly exited")  # of a nanny's log

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

    def __init__(self, client: Any, shared: AnyPath | None = None) -> None:
        self._client, self._shared = client, shared
        self._address = client.scheduler_info()["address"]
        client.subscribe_topic(TOPIC, lambda event: log.warning("%s", event[1]))

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Besides errors of tasks, `GptsDataError` for a task that workers die of, and `SourceUnavailableError` when
        the scheduler is lost."""
        from distributed import as_completed

        expected = self._expected()
        futures = {self._client.submit(_in_worker, function, task, expected, pure=False): task for task in tasks}
        try:
            for future in as_completed(futures):
                yield self._result(future, futures[future])
        finally:
            if self._connected():
                self._client.cancel(list(futures))

    def _result(self, future: Any, task: Any) -> Any:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError

        try:
            return future.result()
        except KilledWorker as error:
            raise GptsDataError(
                f"{_name(task)}: {error.allowed_failures + 1} times the worker died of it, the last one "
                f"{self._death(error)}. Most likely memory ran out: use fewer --workers, or give each more, then run "
                "the same command again; finished work is kept"
            ) from error
        except (FutureCancelledError, CommClosedError) as error:  # before its result was there, or on its way
            raise SourceUnavailableError(
                f"the dask scheduler at {self._address} was lost; start it again, then run the same command again: "
                "finished work is kept"
            ) from error
        except Exception as error:
            if not isinstance(error, GptsDataError):
                error.add_note(f"while a worker worked on {_name(task)}")
            raise

    def _death(self, error: Any) -> str:
        """Where the last worker was, and how it ended as far as a nanny there still tells."""
        address = str(getattr(error.last_worker, "address", "unknown"))
        try:
            logs = self._client.get_worker_logs(nanny=True)
        except Exception as failure:  # of whatever kind: it is asked only to say more
            log.debug("no nanny answers: %s", failure)
            return f"at {address}"
        lines = [line for entries in logs.values() for _, line in entries if any(word in line for word in DEATHS)]
        return f"at {address}: {'; '.join(lines[-3:])}" if lines else f"at {address}"

    def _connected(self) -> bool:
        return str(self._client.status) == "running"

    def check_workers(self) -> None:
        """Raise `UsageError` for a worker that is not as expected. One that does not answer within ANSWER seconds is
        checked with the first task it does, as those are that come later."""
        from distributed import wait

        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        checks = [
            self._client.submit(_in_worker, bool, None, self._expected(), workers=[address], pure=False)
            for address in workers
        ]
        try:
            wait(checks, timeout=ANSWER)
        except TimeoutError:
            log.warning("not all dask workers answer; they are checked with their first task")
        for check in checks:
            if check.status == "error":
                raise _unloadable(check.exception())

    def _expected(self) -> Expected:
        return Expected(environment(), self._shared)


def _unloadable(error: BaseException) -> BaseException:
    """An error that says so for a process that has no gpts-data or an old one; any other as it is."""
    cause = error.__cause__ or error  # the scheduler wraps it
    if isinstance(cause, (ImportError, AttributeError)) and "gpts_data" in str(cause):
        return UsageError(
            f"the dask scheduler or a worker has another gpts-data or none: {cause}; install this one there"
        )
    return error


def _name(task: Any) -> str:
    """What a person knows a task by: its unit, or the file that it writes."""
    unit = getattr(getattr(task, "unit", None), "name", None)
    return str(unit or getattr(task, "path", None) or task)[:200]


class _Forward(logging.Handler):
    """Says in the process of the client what is logged in a worker."""

    def emit(self, record: logging.LogRecord) -> None:
        from distributed import get_worker

        get_worker().log_event(TOPIC, record.getMessage())


def _in_worker(function: Callable[[Task], Result], task: Task, expected: Expected) -> Result:
    """Run a task in a worker that is as expected, with what it says forwarded."""
    from distributed import get_worker

    expected.check(get_worker().address)
    if not any(isinstance(handler, _Forward) for handler in log.handlers):
        log.addHandler(_Forward())
        log.propagate = False
    return function(task)


@contextmanager
def open_engine(workers: int = 1, scheduler: str | None = None, shared: AnyPath | None = None) -> Iterator[Engine]:
    """The engine for `workers` processes on this machine, or for a running cluster at `scheduler` ("tcp://host:port").

    `shared`: a file of this machine that all workers must see. Raises `SourceUnavailableError` when the scheduler
    cannot be reached, `UsageError` for what is no address and for workers that differ from this process.
    """
    if workers < 1:
        raise UsageError(f"workers = {workers}, expected 1 or more")
    if scheduler is None and workers == 1:
        yield InProcess()
        return
    from distributed import Client

    if scheduler is None:
        with _same_environment(), _local_cluster(workers) as cluster, Client(cluster) as client:
            _say_dashboard(client)
            yield Dask(client)
        return
    with _connect(scheduler) as client:
        engine = Dask(client, shared)
        engine.check_workers()
        _say_dashboard(client)
        yield engine


def _connect(scheduler: str) -> Any:
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # it logs the traceback of a lost scheduler
    try:
        return Client(scheduler, timeout=CONNECT_TIMEOUT)
    except ValueError as error:
        raise UsageError(f"--scheduler {scheduler!r}: {error}; expected an address like tcp://host:8786") from error
    except OSError as error:
        raise SourceUnavailableError(
            f"no dask scheduler answers at {scheduler}; start one with `dask scheduler`"
        ) from error


def _say_dashboard(client: Any) -> None:
    if find_spec("bokeh"):  # without it dask has a page that says so
        log.info("dask dashboard: %s", client.dashboard_link)


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
    import dask
    from distributed import LocalCluster

    try:
        with dask.config.set({"distributed.scheduler.worker-ttl": WORKER_TTL}):
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                preload=[__name__],
            )
    except RuntimeError as error:  # each worker imports the script again, and it begins to build again
        hint = 'in a script, put what builds below `if __name__ == "__main__":`'
        raise UsageError(f"the workers did not start; {hint}, or use one worker") from error


def dask_setup(worker: object) -> None:
    """Called by dask in each worker of ours as it starts: Ctrl-C is for the process that holds the cluster."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

"""Runs one function over many tasks: in this process, in worker processes, or on a dask cluster.

Tasks are pure functions and safe to run twice, so it does not matter where, in which order or how often they run. Each
is large, a unit or a shard, because dask adds some 4.6 ms per task. Only this module, dask_client.py and dask_worker.py
import dask. When a worker of a cluster dies or freezes, dask gives its task to another worker as soon as the connection
breaks or no heartbeat has arrived for the scheduler's worker-ttl.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from typing import Any, Protocol, TypeVar

from gpts_data.pipelines.dask_client import connect, log_dashboard
from gpts_data.pipelines.dask_worker import TOPIC, run_in_worker
from gpts_data.pipelines.environment import Expected, environment, refuse_other_environment
from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError, UsageError
from gpts_data.pipelines.stall_warning import StallWarning, task_name
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.side_by_side import run_side_by_side

ANSWER = 20.0  # seconds in which workers must report their environment
VERSIONS = ("python", "dask", "distributed")  # that decide whether a worker can decode our tasks
VERSIONS_ANSWER = 5.0  # seconds in which workers must report them, and the scheduler its workers
MAX_SUBMITTED = 1024  # tasks that the scheduler has at a time, in its memory: 30 kB for a unit to cut; 1T have 61,600
POLL_SECONDS = 30.0  # longest wait for a result before the cluster is looked at
DEATHS = ("was killed by signal", "exited with status", "memory budget", "unexpectedly exited")  # in a nanny's log
INSTALL = "install this version there"
AUTO = 0
"""The number of workers that leaves it to the size of the job and the machine."""
HAS_PACKAGE = "__import__('importlib.util').util.find_spec('gpts_data') is not None"

log = logging.getLogger("gpts_data")

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs tasks; the implementations are `InProcess`, `WorkerPool`, `AdaptiveEngine` and `Dask`."""

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield results as they are ready, in any order. Raises the first error of a task and cancels the rest."""


class InProcess:
    """Runs tasks in this process: one after the other, or side by side if `shared` is in a store (side_by_side.py)."""

    def __init__(self, shared: AnyPath | None = None) -> None:
        self._shared = shared

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        return run_side_by_side(function, tasks, self._shared)


class Dask:
    """Runs tasks on the workers of a dask client. `shared`: a file that every worker must see."""

    def __init__(self, client: Any, shared: AnyPath | None = None) -> None:
        self._client, self._shared = client, shared
        self._address = client.scheduler_info()["address"]
        client.subscribe_topic(TOPIC, lambda event: log.warning("%s", event[1]))

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """As `Engine.map`. Also raises `GptsDataError` for a task that kills its workers, and `SourceUnavailableError`
        when the connection to the scheduler is lost."""
        expected, waiting = self._expected(), iter(tasks)
        futures: dict[Any, Task] = {}
        ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
        stall = StallWarning()

        def submit(count: int) -> None:
            for task in islice(waiting, count):
                future = self._client.submit(run_in_worker, function, task, expected, pure=False)
                futures[future] = task
                future.add_done_callback(ready.put)

        try:
            submit(MAX_SUBMITTED)
            while futures:
                future = self._next(ready, stall, lambda: self._describe(futures.values()))
                stall.reset()
                result = self._result(future, futures.pop(future))
                submit(1)
                yield result
        finally:
            if self._connected():
                self._client.cancel(list(futures))

    def _next(self, ready: queue.SimpleQueue[Any], stall: StallWarning, running: Callable[[], str]) -> Any:
        """The next future that is done. Says so while the cluster has no worker, and when no task finishes."""
        while True:
            try:
                return ready.get(timeout=POLL_SECONDS)
            except queue.Empty:
                stall.check(running)
                self._warn_without_workers()
                self._refuse_other_versions()

    def _workers(self) -> list[str] | None:
        """The addresses of all workers; None when the scheduler does not say in time."""
        try:
            request = self._client.scheduler.identity
            return list(self._client.sync(request, n_workers=-1, callback_timeout=VERSIONS_ANSWER)["workers"])
        except (OSError, TimeoutError) as error:  # a frozen scheduler; the loss of one is noticed elsewhere
            log.debug("the scheduler does not tell its workers: %s", error)
            return None

    def _warn_without_workers(self) -> None:
        if not self._connected():
            return
        workers = self._workers()
        if workers is None:
            log.warning("the dask scheduler at %s does not answer; waiting for it", self._address)
        elif not workers:
            log.warning("no worker at %s; waiting for one: dask worker %s --nthreads 1", *[self._address] * 2)

    def _refuse_other_versions(self) -> None:
        """Raise `UsageError` for a worker whose Python or dask is another one.

        Such a worker may drop a task that it cannot decode, without an answer, so tasks cannot ask. This is asked with
        a request of dask's own protocol, which needs nothing that we or pickle would have to load there.
        """
        if not self._connected():
            return
        expected = {name: version for name, version in environment().items() if name in VERSIONS}
        for address, versions in self._versions().items():
            python = ".".join(versions["host"]["python"].split(".")[:2])
            packages = {name: str(versions["packages"].get(name)) for name in VERSIONS if name != "python"}
            refuse_other_environment(address, {"python": python, **packages}, expected)

    def _versions(self) -> dict[str, Any]:
        """Return what each worker that answers in time says of its Python and packages."""
        try:
            request = self._client.scheduler.broadcast
            return dict(
                self._client.sync(request, msg={"op": "versions"}, on_error="ignore", callback_timeout=VERSIONS_ANSWER)
            )
        except (OSError, TimeoutError) as error:  # a frozen worker; the scheduler's loss is noticed elsewhere
            log.debug("the workers do not tell their versions: %s", error)
            return {}

    def _describe(self, tasks: Iterable[Any]) -> str:
        names = list(map(task_name, tasks))
        addresses = self._workers()
        workers = f"{'an unknown number of' if addresses is None else len(addresses)} workers at {self._address}"
        return f"{len(names)} tasks on {workers}: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"

    def _result(self, future: Any, task: Any) -> Any:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError

        try:
            return future.result()
        except KilledWorker as error:
            raise GptsDataError(
                f"{task_name(task)}: its worker died {error.allowed_failures + 1} times, the last one "
                f"{self._death(error)}. Most likely memory ran out: use fewer --workers or give each more memory, then "
                "run the same command again; finished work is kept"
            ) from error
        except (FutureCancelledError, CommClosedError) as error:  # before or while its result arrived
            raise SourceUnavailableError(
                f"the dask scheduler at {self._address} was lost; start it again, then run the same command again: "
                "finished work is kept"
            ) from error
        except TimeoutError as error:  # an OSError, which would be taken for one of a disk
            raise SourceUnavailableError(
                f"{task_name(task)}: the dask cluster at {self._address} did not answer in time"
                f"{f' ({error})' if str(error) else ''}; run the same command again: finished work is kept"
            ) from error
        except Exception as error:
            if not isinstance(error, GptsDataError):
                error.add_note(f"while a worker ran {task_name(task)}")
            raise

    def _death(self, error: Any) -> str:
        """The address of the last worker, and how it ended, if the log of its nanny says so."""
        address = str(getattr(error.last_worker, "address", "unknown"))
        try:
            logs = self._client.get_worker_logs(nanny=True)
        except Exception as failure:  # of any kind: the log only adds detail
            log.debug("the nannies' logs cannot be read: %s", failure)
            return f"at {address}"
        lines = [line for entries in logs.values() for _, line in entries if any(word in line for word in DEATHS)]
        return f"at {address}: {'; '.join(lines[-3:])}" if lines else f"at {address}"

    def _connected(self) -> bool:
        return str(self._client.status) == "running"

    def check_workers(self) -> None:
        """Raise `UsageError` when a worker has no gpts-data, or its environment differs from ours.

        A worker that does not answer within ANSWER seconds, or that joins later, is checked before its first task.
        """
        self._warn_without_workers()
        self._refuse_other_versions()
        # First something that every Python can run: a worker that cannot load a task of ours never answers.
        packages = self._ask_workers(self._workers() or (), eval, HAS_PACKAGE)
        for address, check in packages.items():
            if check.status == "finished" and not check.result():
                raise UsageError(f"the dask worker at {address} has no gpts-data; {INSTALL}")
        answering = [address for address, check in packages.items() if check.status == "finished"]
        checks = self._ask_workers(answering, run_in_worker, bool, None, self._expected())
        for check in checks.values():
            if check.status == "error":
                raise _unloadable(check.exception())
        if any(check.status == "pending" for check in (*packages.values(), *checks.values())):
            log.warning("not all dask workers answer; the others are checked before their first task")

    def _ask_workers(self, addresses: Sequence[str], function: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        """Call a function on each worker. Returns the futures by address; those that are not done still wait."""
        from distributed import wait

        checks = {
            address: self._client.submit(function, *arguments, workers=[address], pure=False) for address in addresses
        }
        with suppress(TimeoutError):
            wait(list(checks.values()), timeout=ANSWER)
        return checks

    def _expected(self) -> Expected:
        return Expected(environment(), self._shared)


def _unloadable(error: BaseException) -> BaseException:
    """`UsageError` when a process cannot load our code, since it has no gpts-data or another one; else `error`."""
    cause = error.__cause__ or error  # the scheduler wraps errors
    if isinstance(cause, (ImportError, AttributeError)) and "gpts_data" in str(cause):
        return UsageError(f"the dask scheduler or a worker has no gpts-data or another version: {cause}; {INSTALL}")
    return error


@contextmanager
def open_engine(
    workers: int = 1,
    scheduler: str | None = None,
    shared: AnyPath | None = None,
    warm_up: Callable[[], object] | None = None,
) -> Iterator[Engine]:
    """Open the engine that runs tasks in `workers` processes on this machine (AUTO chooses), or on a running cluster.

    scheduler: the cluster's address, such as "tcp://host:8786". shared: a file that all workers of the cluster must
    see; if it is in a store, so are the files of the tasks. warm_up: loads what the tasks need and starts no thread;
    workers on this machine are forked from a process that has called it. Raises `SourceUnavailableError` when the
    scheduler cannot be reached, `UsageError` when its address is invalid or a worker's environment differs from ours.
    """
    if workers != AUTO and workers < 1:
        raise UsageError(f"workers = {workers}, expected 1 or more, or 0 to choose by the size of the job")
    if scheduler is None and workers == 1:
        yield InProcess(shared)
    elif scheduler is None:
        from gpts_data.pipelines.adaptive_engine import AdaptiveEngine
        from gpts_data.pipelines.worker_pool import open_worker_pool

        with ExitStack() as stack:
            if workers == AUTO:
                yield AdaptiveEngine(stack, InProcess(shared).map, warm_up)
            else:
                yield stack.enter_context(open_worker_pool(workers, warm_up))
    else:
        with connect(scheduler) as client:
            engine = Dask(client, shared)
            engine.check_workers()
            log_dashboard(client)
            yield engine

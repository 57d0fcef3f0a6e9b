"""One worker process on this machine, connected to this process by a pipe and by nothing else.

this process   (function, task)  ──►  worker   runs function(task) in its main thread
               LogMessage, Answer  ◄──         and ends when this process ends, however that ends
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from gpts_data.pipelines.arrow_import import leave_pandas_out
from gpts_data.pipelines.machine import is_stopped

EXIT_SECONDS = 1.0  # for a killed process to end; one that hangs in a network file system does not
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",  # this and the next two as in dask's workers
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # that thread would only return memory
}
_CODE = "import sys; sys.path[:] = {}; from gpts_data.pipelines.{} import main; main(int(sys.argv[1]), sys.argv[2])"

log = logging.getLogger("gpts_data")


class LogMessage(NamedTuple):
    """What a task logged in a worker, such as a pause before a source is tried again."""

    level: int
    text: str


@dataclass(frozen=True)
class Answer:
    """The result of a task, or the error that it raised and its traceback as text."""

    result: Any = None
    error: Exception | None = None
    traceback: str = ""


class WorkerTraceback(Exception):
    """The cause of an error that a task raised in a worker; its text is the traceback there."""


class Process(Protocol):
    """A process that was started by this one, or for it."""

    pid: int
    returncode: int | None
    """The exit code, or minus a signal's number; None while it runs, or if it cannot be known."""

    def kill(self) -> None: ...

    def wait(self, timeout: float) -> object: ...


def start_python(module: str, pipe: Connection, folder: Path) -> subprocess.Popen[bytes]:
    """Start `main` of a module of `pipelines` as a process with one end of a pipe. `folder` is its TMPDIR."""
    path = [entry for entry in sys.path if isinstance(entry, str)]  # so that it finds the same modules
    with _interrupts_blocked():
        return subprocess.Popen(
            [sys.executable, "-c", _CODE.format(path, module), str(pipe.fileno()), str(folder)],
            pass_fds=[pipe.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # belongs to --json
            env={**ONE_THREAD, **os.environ, "TMPDIR": str(folder)},
        )


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread, and in a process that is started meanwhile until its `main` ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_ctrl_c_to_parent() -> None:
    """Ignore Ctrl-C, which reaches all processes of the group: the command decides what becomes of this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


class Worker:
    """This process's side of a worker process.

    folder: the worker's TMPDIR. fork: makes a process that has one end of a pipe, or returns None; without it the
    worker is started like any other process.
    """

    def __init__(self, folder: Path, fork: Callable[[Connection], Process | None] = lambda _: None) -> None:
        self.stopped_polls = 0  # of how many polls in a row the pool found it stopped
        self.pipe, worker_end = Pipe()
        with worker_end:
            process = fork(worker_end)
        if process is None:  # another pipe, since the end of this one may have arrived somewhere
            self.pipe.close()
            self.pipe, worker_end = Pipe()
            with worker_end:
                process = start_python("local_worker", worker_end, folder)
        self._process: Process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_stopped(self) -> bool:
        """Whether a signal has stopped the process."""
        return is_stopped(self.pid)

    def send(self, function: Callable[[Any], Any], task: Any) -> None:
        """Have the worker run a task. Raises `OSError` when it has ended or is stopped."""
        if self.is_stopped():  # a large task would fill the pipe, and this process would wait for ever
            raise BrokenPipeError(f"the worker process {self.pid} is stopped")
        self.pipe.send((function, task))

    def begin_to_kill(self) -> None:
        """Send SIGKILL, which a stopped process obeys too."""
        self._process.kill()

    def kill(self) -> str:
        """End the process. Returns in words how it ended: by a signal, of ours if it was alive, or by itself."""
        self.begin_to_kill()
        self.pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)
        code = self._process.returncode
        if code is None:
            return "ended"
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def main(descriptor: int, folder: str) -> NoReturn:
    """The side of a worker that was started by itself."""
    leave_ctrl_c_to_parent()
    leave_pandas_out()
    os.set_inheritable(descriptor, False)
    work(Connection(descriptor), folder)


def work(pipe: Connection, folder: str) -> NoReturn:
    """The worker's side: run tasks until the process at the other end of the pipe has ended."""
    if sys.stderr:
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive_requests, args=(pipe, requests, folder), daemon=True).start()
    lock = threading.Lock()

    def send(message: LogMessage | Answer) -> None:
        with lock:
            pipe.send(message)

    handler = logging.Handler()
    handler.emit = lambda record: send(LogMessage(record.levelno, record.getMessage()))  # type: ignore[method-assign]
    log.addHandler(handler)
    log.propagate = False
    while True:
        answer = _answer(requests.get())
        try:
            send(answer)
        except OSError:
            _exit(folder)
        except Exception as error:  # the result cannot be pickled
            send(Answer(error=TypeError(f"the result of a task cannot be sent: {error}")))


def _receive_requests(pipe: Connection, requests: queue.SimpleQueue[bytes], folder: str) -> None:
    try:
        while True:
            requests.put(pipe.recv_bytes())
    except (EOFError, OSError):
        _exit(folder)


def _exit(folder: str) -> NoReturn:
    """End this process without waiting for what it does; the parent, which would remove the folder, has ended."""
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _answer(request: bytes) -> Answer:
    try:
        function, task = pickle.loads(request)
        return Answer(function(task))
    except Exception as error:
        text = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an error whose class cannot be made from its arguments
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return Answer(error=error, traceback=text)

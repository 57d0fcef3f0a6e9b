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
from typing import Any, NamedTuple, NoReturn

EXIT_SECONDS = 1.0  # for a killed process to end; one that hangs in a network file system does not
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # as in dask's workers
_WORKER_CODE = "import sys; sys.path[:] = {}; from gpts_data.pipelines.local_worker import worker_main; worker_main()"

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


class Worker:
    """This process's side of a worker process. `folder` is the worker's TMPDIR."""

    def __init__(self, folder: Path) -> None:
        self.pipe, worker_end = Pipe()
        self.stopped_polls = 0  # of how many polls in a row the pool found it stopped
        path = [entry for entry in sys.path if isinstance(entry, str)]  # so that it finds the same modules
        with worker_end, _interrupts_blocked():
            self._process = subprocess.Popen(
                [sys.executable, "-c", _WORKER_CODE.format(path), str(worker_end.fileno()), str(folder)],
                pass_fds=[worker_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # belongs to --json
                env={**dict.fromkeys(ONE_THREAD, "1"), **os.environ, "TMPDIR": str(folder)},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_stopped(self) -> bool:
        """Whether a signal, such as SIGSTOP, has stopped the process."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:  # it has ended
            return False

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
        status = self._process.returncode
        return f"was killed by signal {-status}" if status and status < 0 else f"ended with exit code {status}"


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread, and in a process that is started meanwhile until its `worker_main` ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worker_main() -> None:
    """The worker's side: run tasks until the process at the other end of the pipe has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of the group; the parent decides
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if sys.stderr:
        faulthandler.register(signal.SIGUSR1, all_threads=True)
    pipe, folder = Connection(int(sys.argv[1])), sys.argv[2]
    os.set_inheritable(pipe.fileno(), False)
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

"""One process that starts the workers of a pool: it imports and loads everything once, then forks the workers.

this process   a function, called once to load what tasks need  ──►  server
               FORK and one end of a pipe  ──►                       forks a worker with that end
                                       ◄──  the worker's number
               the number of a worker that has ended  ──►
                                       ◄──  its exit code

A worker that starts by itself takes 0.9 s of processor time before its first task, a forked one less than 0.1 s.

A fork has the thread that called it and no other; a lock that another thread holds is never released there. So the
server runs one thread, and never has files, locks or connections of this process. When a library starts a thread in it,
and on other systems than Linux, workers start by themselves.

Why not `multiprocessing.forkserver`: it listens on a socket.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any, NoReturn

from gpts_data.pipelines import local_worker
from gpts_data.pipelines.arrow_import import leave_pandas_out
from gpts_data.pipelines.local_worker import EXIT_SECONDS, leave_ctrl_c_to_parent, start_python
from gpts_data.pipelines.machine import is_stopped

POLL_SECONDS = 1.0  # longest wait for an answer before the server's state is looked at
STOPPED_POLLS = 60  # polls for which the server may be stopped by a signal before it is given up
FORK = "fork"

log = logging.getLogger("gpts_data")


class ForkedProcess:
    """A worker that the server forked, with what `subprocess.Popen` offers for a process."""

    def __init__(self, server: WorkerServer, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server
        self._descriptor = os.pidfd_open(pid)  # unlike the number, it never means another process

    def kill(self) -> None:
        """Send SIGKILL."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self, timeout: float) -> None:
        """Wait until it has ended, and set `returncode`. It stays None if the server cannot say how it ended."""
        if wait([self._descriptor], timeout):
            self.returncode = self._server.exit_code(self.pid)
        os.close(self._descriptor)


class WorkerServer:
    """This process's side of the server. `warm_up` is called there, and `folder` is its TMPDIR."""

    def __init__(self, warm_up: Callable[[], object], folder: Path) -> None:
        self._control, server_end = Pipe()
        with server_end:
            self._process: subprocess.Popen[bytes] | None = start_python("worker_server", server_end, folder)
        with suppress(OSError):  # it has ended, as the first request will notice
            self._control.send(warm_up)

    def fork(self, worker_end: Connection) -> ForkedProcess | None:
        """Fork a worker that has this end of a pipe. None when it cannot be forked and has to start by itself."""
        pid = self._ask(FORK, worker_end)
        with suppress(OSError):  # the server was killed, and the worker has ended
            return ForkedProcess(self, pid) if pid else None
        return None

    def exit_code(self, pid: int) -> int | None:
        """How a worker that has ended did so, as in `subprocess.Popen.returncode`."""
        code: int | None = self._ask(pid, seconds=EXIT_SECONDS)
        return code

    def close(self) -> None:
        """End the server. Its workers go on."""
        if self._process:
            self._process.kill()
            self._control.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_SECONDS)
            self._process = None

    def _ask(self, request: Any, worker_end: Connection | None = None, seconds: float | None = None) -> Any:
        """The server's answer. None when there is none: the server has ended or is stopped, and is given up."""
        if self._process is None:
            return None
        try:
            self._control.send(request)
            if worker_end:
                send_handle(self._control, worker_end.fileno(), self._process.pid)
            return self._answer(seconds)
        except (EOFError, OSError):
            log.warning("the process %d that starts workers does not answer; they start without it", self._process.pid)
            self.close()
            return None
        except BaseException:  # Ctrl-C: the answer would be taken for that to the next request
            self.close()
            raise

    def _answer(self, seconds: float | None) -> Any:
        """The next answer. Raises `EOFError` if it does not come within `seconds`, or while the server is stopped."""
        assert self._process
        stopped = 0
        while not self._control.poll(seconds or POLL_SECONDS):
            stopped = stopped + 1 if is_stopped(self._process.pid) else 0
            if seconds or stopped >= STOPPED_POLLS:
                raise EOFError
        return self._control.recv()


def can_fork() -> bool:
    """Whether this system forks safely (macOS does not) and has descriptors of processes."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:  # Linux before 5.3
        return False
    return True


def main(descriptor: int, folder: str) -> None:
    """The server's side: fork workers until the process at the other end of the pipe has ended."""
    leave_ctrl_c_to_parent()
    control = Connection(descriptor)
    os.set_inheritable(descriptor, False)
    log.addHandler(logging.NullHandler())
    leave_pandas_out()
    try:
        with suppress(Exception):  # a task that needs the same will fail too, and say why
            control.recv()()
        gc.collect()
        gc.freeze()  # else the garbage collector of a worker would write to all pages that it shares with the others
        while True:
            request = control.recv()
            control.send(_fork(control, folder) if request == FORK else _exit_code(request))
    except (EOFError, OSError):
        shutil.rmtree(folder, ignore_errors=True)


def _fork(control: Connection, folder: str) -> int:
    """Fork a worker. Returns its number; 0 if it cannot be forked."""
    with Connection(recv_handle(control)) as pipe:
        if len(os.listdir("/proc/self/task")) > 1:
            return 0
        try:
            pid = os.fork()
        except OSError:  # too many processes, or too little memory
            return 0
        if pid == 0:
            control.close()  # so that the end of the server is seen
            _work(pipe, folder)
        return pid


def _work(pipe: Connection, folder: str) -> NoReturn:
    try:
        local_worker.work(pipe, folder)
    finally:  # never return into the code of the server
        os._exit(1)


def _exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

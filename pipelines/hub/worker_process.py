"""A child process that talks to the network for us, since only a process can be killed whatever it hangs in.

    parent   ask(ticket, function, *arguments)  ──►  child   function(*arguments) in one of a few threads
             wait(seconds)  ◄──  (ticket, item) for each item it yields, then (ticket, Done()) or (ticket, an error)

The child says when it is ready, and never waits for the parent to listen: what it read is queued, bounded by what was
asked for. It ends when the parent does, however that ends.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any

from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError, redact

START_SECONDS = 120  # importing the hub client takes half a second, on a busy machine ten times that
THREADS = 4  # requests in flight: two hide each other's latency, four also a slow one
_SERVE = "from gpts_data.pipelines.hub.worker_process import worker_main; worker_main()"


@dataclass(frozen=True)
class EndOfStream:
    """Ends the items of a ticket."""


class WorkerProcess:
    """The parent's side."""

    def __init__(self) -> None:
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _SERVE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # the clients' logs hold signed addresses; errors come through the pipe
            )
        try:
            ready = self.wait(START_SECONDS)
        except (EOFError, OSError):
            ready = None
        if ready is None:
            status = self.kill()
            if status < 0:  # somebody killed it, or it hung: worth another one
                raise SourceUnavailableError(f"the reading process did not start (signal {-status})")
            raise GptsDataError(
                f"the reading process did not start (exit {status}); "
                "try: python -c 'import gpts_data.pipelines.hub.worker_process, huggingface_hub.hf_api'"
            )

    def request(self, request_id: int, function: Callable[..., Iterator[Any]], *arguments: Any) -> None:
        """Raises OSError when the child is gone."""
        self._pipe.send((request_id, function, arguments))

    def wait(self, seconds: float) -> tuple[int, Any] | None:
        """The next message, or None when none came. Raises EOFError or OSError when the child is gone."""
        message: tuple[int, Any] | None = self._pipe.recv() if self._pipe.poll(seconds) else None
        return message

    def kill(self) -> int:
        """End it whatever it does; returns the exit status it had or got."""
        self._process.kill()
        self._pipe.close()
        return self._process.wait()


def worker_main() -> None:
    """The child's side: answer until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the parent decides
    pipe = Connection(int(sys.argv[1]))
    if endpoint := os.environ.get("HF_ENDPOINT"):
        os.environ["HF_ENDPOINT"] = endpoint.rstrip("/")  # the hub client does so, datasets does not
    import huggingface_hub.hf_api  # noqa: F401 - the slow part of the first request

    pipe.send((-1, EndOfStream()))
    answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    threading.Thread(target=_send, args=(pipe, answers), daemon=True).start()
    pool = ThreadPoolExecutor(THREADS)
    while True:
        try:
            ticket, function, arguments = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)  # threads may hang in a read for ever
        pool.submit(_answer, answers, ticket, function, arguments)


def _answer(answers: Any, request_id: int, function: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> None:
    try:
        for item in function(*arguments):
            answers.put((request_id, item))
        answers.put((request_id, EndOfStream()))
    except GptsDataError as error:
        answers.put((request_id, error))
    except Exception as error:  # a bug of ours or of the client: the parent raises it under its name
        answers.put((request_id, GptsDataError(redact(f"the hub client failed: {type(error).__name__}: {error}"))))


def _send(pipe: Connection, answers: Any) -> None:
    try:
        while True:
            pipe.send(answers.get())
    except OSError:
        os._exit(0)

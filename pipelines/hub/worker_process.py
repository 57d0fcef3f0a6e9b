"""A worker process that talks to the network, because a process can be killed whatever it hangs in.

    parent   request(request_id, function, *arguments)  ──►  worker   runs function(*arguments) in one of 4 threads
             wait(seconds)  ◄──  (request_id, item) for each item that the function yields,
                                 then (request_id, EndOfStream()) or (request_id, error)

The worker reports when it is ready. It never waits for the parent to read: its answers are queued, and the parent
bounds the queue by what it requests. The worker ends when the parent does, however that ends.

Why not threads with read time-outs: they survive the faults of test_range_fetcher.py too. But with a time-out of 2 s, a
response that sent one header byte every 0.5 s had not ended after 45 s, since each byte renews the time-out; a silent
name server held a call for 20 s, and Ctrl-C for 8 s. A thread that is abandoned in such a call keeps its connection,
and after 100 of them the hub client's pool had none left for a healthy server. The client also keeps HF_ENDPOINT and
half-failed listings for the life of its process.
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

START_SECONDS = 120  # importing the hub client takes half a second, on a busy machine five seconds
THREADS = 4  # requests in flight: two hide each other's latency, four also hide a slow one
_WORKER_CODE = "from gpts_data.pipelines.hub.worker_process import worker_main; worker_main()"


@dataclass(frozen=True)
class EndOfStream:
    """Follows the last item of a request."""


class WorkerProcess:
    """The parent's side: starts a worker process and exchanges messages with it."""

    def __init__(self) -> None:
        self._pipe, worker_end = Pipe()
        with worker_end:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _WORKER_CODE, str(worker_end.fileno())],
                pass_fds=[worker_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # the client logs signed addresses; errors come through the pipe
            )
        try:
            ready = self.wait(START_SECONDS)
        except (EOFError, OSError):
            ready = None
        if ready is None:
            status = self.kill()
            if status < 0:  # it was killed, by us when it hung: worth another attempt
                raise SourceUnavailableError(f"the worker process that reads the hub did not start (signal {-status})")
            raise GptsDataError(
                f"the worker process that reads the hub did not start (exit code {status}); "
                "try: python -c 'import gpts_data.pipelines.hub.worker_process, huggingface_hub.hf_api'"
            )

    def request(self, request_id: int, function: Callable[..., Iterator[Any]], *arguments: Any) -> None:
        """Have the worker run a function. Raises `OSError` when the worker has ended."""
        self._pipe.send((request_id, function, arguments))

    def wait(self, seconds: float) -> tuple[int, Any] | None:
        """The next message, or None after `seconds`. Raises `EOFError` or `OSError` when the worker has ended."""
        message: tuple[int, Any] | None = self._pipe.recv() if self._pipe.poll(seconds) else None
        return message

    def kill(self) -> int:
        """End the worker, whatever it is doing. Returns its exit status: negative for a signal."""
        self._process.kill()
        self._pipe.close()
        return self._process.wait()


def worker_main() -> None:
    """The worker's side: answer requests until the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of the group; the parent decides
    pipe = Connection(int(sys.argv[1]))
    if endpoint := os.environ.get("HF_ENDPOINT"):
        os.environ["HF_ENDPOINT"] = endpoint.rstrip("/")  # as the hub client does; datasets does not
    import huggingface_hub.hf_api  # noqa: F401 - the slow part of the first request, so that it counts as starting

    pipe.send((-1, EndOfStream()))
    answers: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    threading.Thread(target=_send, args=(pipe, answers), daemon=True).start()
    pool = ThreadPoolExecutor(THREADS)
    while True:
        try:
            request_id, function, arguments = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)  # without waiting for threads, which may hang in a read
        pool.submit(_answer, answers, request_id, function, arguments)


def _answer(answers: Any, request_id: int, function: Callable[..., Iterator[Any]], arguments: tuple[Any, ...]) -> None:
    try:
        for item in function(*arguments):
            answers.put((request_id, item))
        answers.put((request_id, EndOfStream()))
    except GptsDataError as error:
        answers.put((request_id, error))
    except Exception as error:  # a bug, ours or the client's: the parent raises it with its name
        answers.put((request_id, GptsDataError(redact(f"the hub client failed: {type(error).__name__}: {error}"))))


def _send(pipe: Connection, answers: Any) -> None:
    try:
        while True:
            pipe.send(answers.get())
    except OSError:
        os._exit(0)

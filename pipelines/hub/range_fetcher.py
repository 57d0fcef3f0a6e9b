"""Fetches byte ranges of hub files in a worker process, ahead of need, and retries until they are complete.

The bytes of a range that have arrived are kept, so after a failure only the rest is requested again. `result` watches
the speed: a worker that delivers too few bytes for too long is killed and replaced.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gpts_data.pipelines.errors import GptsDataError, SourceUnavailableError
from gpts_data.pipelines.hub import client
from gpts_data.pipelines.hub.retry import RetryPolicy, retry
from gpts_data.pipelines.hub.worker_process import WorkerProcess

STEP = 1 << 20  # bytes after which the retry budget starts anew; fewer in a whole budget are no progress
POLL_SECONDS = 0.5  # longest wait for a message before the speed is checked
LISTING_STALLS = 5  # a listing may take this many stall time-outs, since nothing arrives until it is complete
LISTING_SECONDS = 20.0  # and at least this long, however short the budget: a healthy one takes five seconds

Listed = tuple[str, tuple[client.HubFile, ...]]
"""A commit, and the files of a split at that commit."""


@dataclass(eq=False)
class Range:
    """Bytes `start..stop` of a file of `size` bytes, and how far fetching them has come.

    `request_id` is set while the range is requested, and `error` holds a failure that nobody was told of yet.
    """

    url: str
    size: int
    start: int
    stop: int
    received: bytearray = field(default_factory=bytearray)
    request_id: int | None = None
    error: GptsDataError | None = None

    @property
    def missing(self) -> int:
        return self.stop - self.start - len(self.received)


class RangeFetcher:
    """A worker process and the ranges requested from it. Not thread-safe: see `range_fetcher`."""

    def __init__(self) -> None:
        self._worker: WorkerProcess | None = None
        self._request_ids = itertools.count()
        self._open: dict[int, Range] = {}

    def request(self, span: Range) -> None:
        """Start to fetch the missing bytes of a range; returns at once."""
        first = span.start + len(span.received)
        span.request_id = self._send(client.stream, span.url, first, span.stop, span.size)
        if span.request_id is not None:
            self._open[span.request_id] = span

    def result(self, span: Range, retry_policy: RetryPolicy) -> bytes:
        """Wait until a range is complete and return its bytes; requests it if `request` was not called.

        Raises `SourceUnavailableError` when `retry_policy` gives up, `RecipeError` when the hub has no such file.
        """
        while span.missing:
            goal = max(span.missing - STEP, 0)
            retry(retry_policy, lambda goal=goal: self._advance(span, goal, retry_policy))  # type: ignore[misc]
        self.cancel(span)
        return bytes(span.received)

    def cancel(self, span: Range) -> None:
        """Give up a range: bytes of it that still arrive are thrown away."""
        if span.request_id is not None:
            self._open.pop(span.request_id, None)

    def list_files(
        self,
        dataset: str,
        config: str | None,
        split: str,
        revision: str | None,
        retry_policy: RetryPolicy,
        patterns: tuple[str, ...] = (),
    ) -> Listed:
        """`client.list_files` in a worker process, retried as `retry_policy` says."""
        return retry(retry_policy, lambda: self._listing((dataset, config, split, revision, patterns), retry_policy))

    def close(self) -> None:
        """End the worker process. The next request starts another one."""
        self._kill()

    def _advance(self, span: Range, goal: int, retry_policy: RetryPolicy) -> None:
        """Receive messages until no more than `goal` bytes of the range are missing."""
        if span.request_id is None:
            self.request(span)
        began, before = time.monotonic(), span.missing
        while span.missing > goal:
            if error := span.error:
                span.error = span.request_id = None
                raise error
            if span.request_id is None:
                raise SourceUnavailableError(f"{client.name_of(span.url)}: the worker process that reads it ended")
            self._receive(min(POLL_SECONDS, retry_policy.stall_timeout / 4))
            if time.monotonic() - began > retry_policy.stall_timeout:
                arrived = before - span.missing
                if arrived < retry_policy.min_bytes_per_second * retry_policy.stall_timeout:
                    self._kill()
                    raise SourceUnavailableError(
                        f"{client.name_of(span.url)}: stalled, {arrived:,} bytes in {retry_policy.stall_timeout:.0f} s"
                    )
                began, before = time.monotonic(), span.missing

    def _receive(self, seconds: float) -> None:
        """Handle one message of the worker, if one arrives within `seconds`."""
        try:
            message = self._worker.wait(seconds) if self._worker else None
        except (EOFError, OSError):
            self._kill()
            return
        except BaseException:  # Ctrl-C may come in the middle of a message, and the rest of the pipe is useless then
            self._kill()
            raise
        if message is None or (span := self._open.get(message[0])) is None:
            return
        if isinstance(message[1], bytes):
            span.received += message[1]
        else:
            self.cancel(span)
            span.error = message[1] if isinstance(message[1], GptsDataError) else None

    def _listing(
        self, arguments: tuple[str, str | None, str, str | None, tuple[str, ...]], retry_policy: RetryPolicy
    ) -> Listed:
        """One attempt at a listing, in a new worker process: the client caches parts of a listing that failed."""
        self._kill()
        seconds = min(LISTING_STALLS * retry_policy.stall_timeout, max(retry_policy.budget, LISTING_SECONDS))
        deadline = time.monotonic() + seconds
        request_id = self._send(client.list_files, *arguments)
        try:
            while self._worker and time.monotonic() < deadline:
                message = self._worker.wait(POLL_SECONDS)
                if message is None or message[0] != request_id:
                    continue
                if isinstance(message[1], GptsDataError):
                    raise message[1]
                listed: Listed = message[1]
                return listed
        except (EOFError, OSError) as error:
            raise SourceUnavailableError(f"dataset {arguments[0]!r}: the worker process that lists it ended") from error
        finally:
            self._kill()
        raise SourceUnavailableError(f"dataset {arguments[0]!r}: no listing in {seconds:.0f} s")

    def _send(self, function: Callable[..., Iterator[Any]], *arguments: Any) -> int | None:
        """Send a call to the worker, started if need be. Returns its request id; None when the worker has ended."""
        request_id = next(self._request_ids)
        try:
            if self._worker is None:
                self._worker = WorkerProcess()
            self._worker.request(request_id, function, *arguments)
        except (OSError, SourceUnavailableError):
            self._kill()
            return None
        return request_id

    def _kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()
        self._worker = None
        for span in self._open.values():
            span.request_id = None
        self._open.clear()


_of_thread = threading.local()


def range_fetcher() -> RangeFetcher:
    """The `RangeFetcher` of the calling thread; each thread has its own."""
    if not hasattr(_of_thread, "fetcher"):
        _of_thread.fetcher = RangeFetcher()
    fetcher: RangeFetcher = _of_thread.fetcher
    return fetcher

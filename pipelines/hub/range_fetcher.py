"""The courier: asks a child process for ranges of hub files, ahead of need, and does not let a failure through.

Of each range the bytes that have come are kept; what is asked again after a failure is the rest. Whoever waits watches:
a child that brings too little for too long is killed and another one goes on.
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

STEP = 1 << 20  # bytes after which earlier failures are forgiven: less in a whole budget is no success
POLL_SECONDS = 0.5  # between looks at the clock
LISTING_STALLS = 5  # a listing gives no sign of life: it has this many times the time-out of a stalled read
LISTING_SECONDS = 20.0  # and, however short the budget, these: a sound one takes five

Listed = tuple[str, tuple[client.HubFile, ...]]
"""A commit, and the files of a split at it."""


@dataclass(eq=False)
class Range:
    """Bytes `start..stop` of a file of `size` bytes; `received` grows."""

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
    """One child and what it was asked for. Not for two threads: each has its own (`courier`)."""

    def __init__(self) -> None:
        self._child: WorkerProcess | None = None
        self._tickets = itertools.count()
        self._open: dict[int, Range] = {}

    def request(self, wanted: Range) -> None:
        """Have the rest of a range fetched; returns at once."""
        first = wanted.start + len(wanted.received)
        wanted.request_id = self._send(client.stream, wanted.url, first, wanted.stop, wanted.size)
        if wanted.request_id is not None:
            self._open[wanted.request_id] = wanted

    def result(self, wanted: Range, retry_policy: RetryPolicy) -> bytes:
        """All bytes of a range, once they are here.

        Raises `SourceUnavailableError` when `retry_policy` ends, `RecipeError` when the hub says there is no such file.
        """
        while wanted.missing:
            goal = max(wanted.missing - STEP, 0)
            retry(retry_policy, lambda goal=goal: self._advance(wanted, goal, retry_policy))  # type: ignore[misc]
        self.cancel(wanted)
        return bytes(wanted.received)

    def cancel(self, wanted: Range) -> None:
        """Forget a range; what still comes of it is thrown away."""
        if wanted.request_id is not None:
            self._open.pop(wanted.request_id, None)

    def list_files(
        self,
        dataset: str,
        config: str | None,
        split: str,
        revision: str | None,
        retry_policy: RetryPolicy,
        patterns: tuple[str, ...] = (),
    ) -> Listed:
        """`hub.list_files`, in the child, as often as it takes."""
        return retry(retry_policy, lambda: self._listing((dataset, config, split, revision, patterns), retry_policy))

    def close(self) -> None:
        """End the child. What was asked for can be asked for again."""
        self._kill()

    def _advance(self, wanted: Range, goal: int, retry_policy: RetryPolicy) -> None:
        """Receive until no more than `goal` bytes are missing."""
        if wanted.request_id is None:
            self.request(wanted)
        began, before = time.monotonic(), wanted.missing
        while wanted.missing > goal:
            if error := wanted.error:
                wanted.error = wanted.request_id = None
                raise error
            if wanted.request_id is None:
                raise SourceUnavailableError(f"{client.name_of(wanted.url)}: the reading process ended")
            self._receive(min(POLL_SECONDS, retry_policy.stall_timeout / 4))
            if time.monotonic() - began > retry_policy.stall_timeout:
                if before - wanted.missing < retry_policy.min_bytes_per_second * retry_policy.stall_timeout:
                    self._kill()
                    came = f"{before - wanted.missing:,} bytes in {retry_policy.stall_timeout:.0f} s"
                    raise SourceUnavailableError(f"{client.name_of(wanted.url)}: stalled, {came}")
                began, before = time.monotonic(), wanted.missing

    def _receive(self, seconds: float) -> None:
        """Take one message from the child, if one comes within `seconds`."""
        try:
            message = self._child.wait(seconds) if self._child else None
        except (EOFError, OSError):
            self._kill()
            return
        except BaseException:  # Ctrl-C, maybe half way through a message: what follows it makes no sense
            self._kill()
            raise
        if message is None or (wanted := self._open.get(message[0])) is None:
            return
        if isinstance(message[1], bytes):
            wanted.received += message[1]
        else:
            self.cancel(wanted)
            wanted.error = message[1] if isinstance(message[1], GptsDataError) else None

    def _listing(
        self, what: tuple[str, str | None, str, str | None, tuple[str, ...]], retry_policy: RetryPolicy
    ) -> Listed:
        """In a child of its own: the clients remember half a listing that failed."""
        self._kill()
        seconds = min(LISTING_STALLS * retry_policy.stall_timeout, max(retry_policy.budget, LISTING_SECONDS))
        limit = time.monotonic() + seconds
        ticket = self._send(client.list_files, *what)
        try:
            while self._child and time.monotonic() < limit:
                message = self._child.wait(POLL_SECONDS)
                if message is None or message[0] != ticket:
                    continue
                if isinstance(message[1], GptsDataError):
                    raise message[1]
                listed: Listed = message[1]
                return listed
        except (EOFError, OSError) as error:
            raise SourceUnavailableError(f"dataset {what[0]!r}: the reading process ended") from error
        finally:
            self._kill()
        raise SourceUnavailableError(f"dataset {what[0]!r}: no listing in {seconds:.0f} s")

    def _send(self, function: Callable[..., Iterator[Any]], *arguments: Any) -> int | None:
        """The ticket of a call in the child, which is started if need be; None when it ended meanwhile."""
        ticket = next(self._tickets)
        try:
            if self._child is None:
                self._child = WorkerProcess()
            self._child.request(ticket, function, *arguments)
        except (OSError, SourceUnavailableError):
            self._kill()
            return None
        return ticket

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None
        for wanted in self._open.values():
            wanted.request_id = None
        self._open.clear()


_couriers = threading.local()


def range_fetcher() -> RangeFetcher:
    """This thread's courier."""
    if not hasattr(_couriers, "courier"):
        _couriers.courier = RangeFetcher()
    found: RangeFetcher = _couriers.courier
    return found

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
from gpts_data.pipelines.hub.retry import Patience, patiently
from gpts_data.pipelines.hub.worker_process import Child

STEP = 1 << 20  # bytes after which earlier failures are forgiven: less in a whole budget is no success
POLL_SECONDS = 0.5  # between looks at the clock
LISTING_STALLS = 5  # a listing gives no sign of life: it has this many times the patience of a stalled read
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
    ticket: int | None = None
    error: GptsDataError | None = None

    @property
    def missing(self) -> int:
        return self.stop - self.start - len(self.received)


class Courier:
    """One child and what it was asked for. Not for two threads: each has its own (`courier`)."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._tickets = itertools.count()
        self._open: dict[int, Range] = {}

    def ask(self, wanted: Range) -> None:
        """Have the rest of a range fetched; returns at once."""
        first = wanted.start + len(wanted.received)
        wanted.ticket = self._send(client.stream, wanted.url, first, wanted.stop, wanted.size)
        if wanted.ticket is not None:
            self._open[wanted.ticket] = wanted

    def take(self, wanted: Range, patience: Patience) -> bytes:
        """All bytes of a range, once they are here.

        Raises `SourceUnavailableError` when `patience` ends, `RecipeError` when the hub says there is no such file.
        """
        while wanted.missing:
            goal = max(wanted.missing - STEP, 0)
            patiently(patience, lambda goal=goal: self._advance(wanted, goal, patience))  # type: ignore[misc]
        self.drop(wanted)
        return bytes(wanted.received)

    def drop(self, wanted: Range) -> None:
        """Forget a range; what still comes of it is thrown away."""
        if wanted.ticket is not None:
            self._open.pop(wanted.ticket, None)

    def list_files(
        self,
        dataset: str,
        config: str | None,
        split: str,
        revision: str | None,
        patience: Patience,
        patterns: tuple[str, ...] = (),
    ) -> Listed:
        """`hub.list_files`, in the child, as often as it takes."""
        return patiently(patience, lambda: self._listing((dataset, config, split, revision, patterns), patience))

    def close(self) -> None:
        """End the child. What was asked for can be asked for again."""
        self._kill()

    def _advance(self, wanted: Range, goal: int, patience: Patience) -> None:
        """Receive until no more than `goal` bytes are missing."""
        if wanted.ticket is None:
            self.ask(wanted)
        began, before = time.monotonic(), wanted.missing
        while wanted.missing > goal:
            if error := wanted.error:
                wanted.error = wanted.ticket = None
                raise error
            if wanted.ticket is None:
                raise SourceUnavailableError(f"{client.name_of(wanted.url)}: the reading process ended")
            self._receive(min(POLL_SECONDS, patience.stall / 4))
            if time.monotonic() - began > patience.stall:
                if before - wanted.missing < patience.slowest * patience.stall:
                    self._kill()
                    came = f"{before - wanted.missing:,} bytes in {patience.stall:.0f} s"
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
            self.drop(wanted)
            wanted.error = message[1] if isinstance(message[1], GptsDataError) else None

    def _listing(self, what: tuple[str, str | None, str, str | None, tuple[str, ...]], patience: Patience) -> Listed:
        """In a child of its own: the clients remember half a listing that failed."""
        self._kill()
        seconds = min(LISTING_STALLS * patience.stall, max(patience.budget, LISTING_SECONDS))
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
                self._child = Child()
            self._child.ask(ticket, function, *arguments)
        except (OSError, SourceUnavailableError):
            self._kill()
            return None
        return ticket

    def _kill(self) -> None:
        if self._child is not None:
            self._child.kill()
        self._child = None
        for wanted in self._open.values():
            wanted.ticket = None
        self._open.clear()


_couriers = threading.local()


def courier() -> Courier:
    """This thread's courier."""
    if not hasattr(_couriers, "courier"):
        _couriers.courier = Courier()
    found: Courier = _couriers.courier
    return found

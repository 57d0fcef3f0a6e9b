"""Leases that allow one writer per folder of a store, which has no lock that ends with its process.

The writer creates an object, which the store allows only one of two writers to do, and rewrites it every BEAT seconds.
Another writer that finds the object watches it: if it changes, its writer is alive; if it stays the same for SILENCE
seconds, its writer is dead and the lease is free.

A lease saves work; no byte of a mix depends on it. Two writers at once would write the same files twice, and only one
of them could create the manifest.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from gpts_data.pipelines.errors import LockedError, StorageError
from gpts_data.pipelines.storage.paths import StorePath, create, overwrite, read_bytes, remove_file

BEAT = 5.0  # seconds between two heartbeats
SILENCE = 4 * BEAT  # seconds without one after which a writer counts as dead

log = logging.getLogger("gpts_data")


class Lease:
    """One writer's claim on the object `path`. `lost` is True once another writer has taken it over."""

    def __init__(self, path: StorePath, refusal: str) -> None:
        self._path, self._refusal = path, refusal
        self._writer, self._beats = uuid4().hex, 0
        self._released = threading.Event()
        self.lost = False

    def check(self) -> None:
        """Raise `LockedError` when another writer has taken over because our heartbeats stopped."""
        if self.lost:
            raise LockedError(f"{self._refusal} (this process stood still for so long that the other one took over)")

    def acquire(self) -> None:
        """Take the lease, after waiting for SILENCE when it exists. Raises `LockedError` when its writer is alive."""
        while not create(self._path, self._content()):
            content = self.read()
            if content is None:
                continue
            log.warning("%s exists: waiting %.0f s to see whether its build is alive", self._path, SILENCE)
            end = time.monotonic() + SILENCE
            while time.monotonic() < end:
                time.sleep(BEAT / 2)
                if self.read() != content:
                    raise LockedError(self._refusal)
            remove_file(self._path)

    def release(self) -> None:
        """End the heartbeats, and remove the object unless another writer has taken over."""
        self._released.set()
        if self._ours():
            remove_file(self._path)

    def heartbeat(self) -> None:
        """Rewrite the object every BEAT seconds until `release`; runs in its own thread."""
        while not self._released.wait(BEAT):
            try:
                if not self._ours():
                    self.lost = not self._released.is_set()
                    return
                self._beats += 1
                overwrite(self._path, self._content())
            except StorageError as error:  # the next heartbeat may succeed; if none does, the tasks fail too
                log.warning("%s", error)

    def _ours(self) -> bool:
        content = self.read()
        return content is not None and json.loads(content)["writer"] == self._writer

    def _content(self) -> bytes:
        return json.dumps({"writer": self._writer, "beats": self._beats}).encode()

    def read(self) -> bytes | None:
        """The content of the object; None when there is none."""
        try:
            return read_bytes(self._path)
        except FileNotFoundError:
            return None


def is_alive(path: StorePath) -> bool:
    """Whether a writer holds the lease `path` now: it is watched for two heartbeats."""
    lease = Lease(path, "")
    content = lease.read()
    end = time.monotonic() + 2 * BEAT
    while content is not None and time.monotonic() < end:
        time.sleep(BEAT / 2)
        if lease.read() != content:
            return True
    return False


@contextmanager
def store_lease(path: StorePath, refusal: str) -> Iterator[Lease]:
    """Hold the lease `path` in a store. Raises `LockedError` with the text `refusal` when another writer holds it."""
    lease = Lease(path, refusal)
    lease.acquire()
    thread = threading.Thread(target=lease.heartbeat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease.release()
        thread.join()

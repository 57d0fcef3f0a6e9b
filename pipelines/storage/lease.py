"""One writer per place in a store, where there is no lock that dies with its process.

The writer creates an object, which the store lets one of two do, and writes it anew every BEAT seconds. Who finds one
watches it: an object that changes is a writer at work, one that is silent for SILENCE seconds was left by a dead one.

No byte depends on it. Two writers at once make the same files twice, and the manifest is created by one of them.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from gpts_data.pipelines.errors import LockedError, StorageError
from gpts_data.pipelines.storage.paths import create, overwrite, remove, store_errors

BEAT = 5.0
SILENCE = 4 * BEAT

log = logging.getLogger("gpts_data")


class Lease:
    """An object at `path` that says that we are at work."""

    def __init__(self, path: Path, refusal: str) -> None:
        self._path, self._refusal = path, refusal
        self._writer, self._beats = uuid4().hex, 0
        self._over = threading.Event()
        self.lost = False

    def check(self) -> None:
        """Raise `LockedError` when another writer took over, thinking that we were dead."""
        if self.lost:
            raise LockedError(f"{self._refusal} (this one stood still for so long that the other took over)")

    def acquire(self) -> None:
        """Raises `LockedError` when another writer is at work."""
        while not create(self._path, self._content()):
            found = self._found()
            if found is None:
                continue
            log.warning("%s is there: waiting %.0f s to see whether its build is alive", self._path, SILENCE)
            end = time.monotonic() + SILENCE
            while time.monotonic() < end:
                time.sleep(BEAT / 2)
                if self._found() != found:
                    raise LockedError(self._refusal)
            remove(self._path)

    def release(self) -> None:
        self._over.set()
        if self._ours():
            remove(self._path)

    def heartbeat(self) -> None:
        """Until `release`, in a thread of its own."""
        while not self._over.wait(BEAT):
            try:
                if not self._ours():
                    self.lost = not self._over.is_set()
                    return
                self._beats += 1
                overwrite(self._path, self._content())
            except StorageError as error:  # the next one may get through; if none does, the tasks fail too
                log.warning("%s", error)

    def _ours(self) -> bool:
        found = self._found()
        return found is not None and json.loads(found)["writer"] == self._writer

    def _content(self) -> bytes:
        return json.dumps({"writer": self._writer, "beats": self._beats}).encode()

    def _found(self) -> bytes | None:
        try:
            with store_errors(self._path):
                return bytes(self._path.read_bytes())
        except FileNotFoundError:
            return None


@contextmanager
def store_lease(path: Path, refusal: str) -> Iterator[Lease]:
    """Hold the object `path` of a store. Raises `LockedError` with the text `refusal`."""
    lease = Lease(path, refusal)
    lease.acquire()
    thread = threading.Thread(target=lease.heartbeat, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        lease.release()
        thread.join()

"""A hub file as a seekable stream over byte ranges that are fetched ahead of need.

    prefetch(spans)   queue the ranges that will be read, in order; up to PREFETCH_BYTES of them are requested ahead
    load_next(n)      wait for the next n queued ranges and drop those loaded before; reading them then does not wait
    read              from a loaded range, else from the queued range around the position, else just the bytes asked for

The plan and every worker read the same footer, and the text of the tokenizer's sample is read twice. Ranges fetched
with `cache_ranges` are therefore left in the folder of `FetchOptions`, where every `RemoteFile` looks first.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import IO, Protocol

from gpts_data.pipelines.hub.range_fetcher import Range, range_fetcher
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.storage.atomic_files import write_bytes

PREFETCH_BYTES = 16 << 20  # bytes requested beyond the range that is being read: one second of a fast connection
MAX_REQUESTS = 64  # ranges requested at once, however small: thousands would fill the pipe of a worker that hangs
BLOCK = 2 << 20  # bytes of one request when a file is read from end to end: the text of one row group of FineWeb
Span = tuple[int, int]
"""First byte and one past the last."""


@dataclass(frozen=True)
class FetchOptions:
    """How a build fetches its sources. The bytes of the mix do not depend on it.

    folder: where fetched files and ranges may be stored while the build lasts; None stores nothing. cache_ranges: True
    leaves fetched ranges in `folder` for others who read the same.
    """

    folder: Path | None = None
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    cache_ranges: bool = False


class Prefetcher(Protocol):
    """What a reader tells a file about the ranges it is going to read."""

    def prefetch(self, spans: Iterable[Span]) -> None:
        """Queue ranges that will be read, in order."""

    def load_next(self, n: int) -> None:
        """Wait for the next `n` queued ranges."""

    def reload(self, spans: Iterable[Span]) -> bool:
        """Fetch ranges again whose content was damaged. Returns whether their content may differ now."""

    def evict(self) -> bool:
        """Drop everything fetched so far. Returns whether reading again may give other bytes."""


class _NothingToFetch:
    """The prefetcher of a local file, which gives the same bytes every time."""

    def prefetch(self, spans: Iterable[Span]) -> None:
        pass

    def load_next(self, n: int) -> None:
        pass

    def reload(self, spans: Iterable[Span]) -> bool:
        return False

    def evict(self) -> bool:
        return False


def prefetcher(file: IO[bytes] | RemoteFile) -> Prefetcher:
    """The prefetcher of an open file: the file itself if it is remote, else one that does nothing."""
    return file if isinstance(file, RemoteFile) else _NothingToFetch()


class RemoteFile(io.RawIOBase):
    """The file `hf://datasets/<id>@<commit>/<path>` of `size` bytes. Only the thread that made it may read it.

    Raises `SourceUnavailableError` and `RecipeError` as `RangeFetcher.result` does.
    """

    def __init__(self, url: str, size: int, fetch_options: FetchOptions) -> None:
        super().__init__()
        self._url, self._size, self._options = url, size, fetch_options
        self._cache_name = sha256(url.encode()).hexdigest()[:32]
        self._position = 0
        self._loaded: dict[Span, bytes] = {}
        self._queue: deque[Range] = deque()
        self._fetcher = range_fetcher()

    def prefetch(self, spans: Iterable[Span]) -> None:
        self._queue.extend(Range(self._url, self._size, *span) for span in spans)
        self._request_ahead()

    def prefetch_blocks(self, start: int, stop: int) -> None:
        """Queue bytes `start..stop` in blocks whose boundaries do not depend on `start`, so that caches can share them.

        The first block may begin before `start` and the last one may end after `stop`.
        """
        first = start - start % BLOCK
        self.prefetch((begin, min(begin + BLOCK, self._size)) for begin in range(first, stop, BLOCK))

    def load_next(self, n: int) -> None:
        self._loaded.clear()
        for _ in range(min(n, len(self._queue))):  # Arrow may have read past a range, into the next
            self._request_ahead()
            queued = self._queue.popleft()
            self._loaded[queued.start, queued.stop] = self._fetch(queued)

    def reload(self, spans: Iterable[Span]) -> bool:
        self.evict()
        for span in spans:
            self._loaded[span] = self._fetch(Range(self._url, self._size, *span))
        return True

    def evict(self) -> bool:
        """Drop the loaded ranges of this file, and the cached ones."""
        self._loaded.clear()
        if self._options.folder:
            cached = (self._options.folder / "ranges").glob(f"{self._cache_name}-*[0-9]")  # not others' temporary files
            for path in cached:
                path.unlink(missing_ok=True)
        return True

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._position + size, self._size)
        parts = []
        while self._position < stop:
            span, content = self._range_at(self._position, stop)
            part = content[self._position - span[0] : stop - span[0]]
            parts.append(part)
            self._position += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        for queued in self._queue:
            self._fetcher.cancel(queued)
        self._queue.clear()
        self._loaded.clear()
        super().close()

    def _range_at(self, position: int, stop: int) -> tuple[Span, bytes]:
        """The loaded or queued range that holds byte `position`, else the bytes from there to `stop`."""
        for span, content in self._loaded.items():
            if span[0] <= position < span[1]:
                return span, content
        for i, queued in enumerate(self._queue):
            if queued.start <= position < queued.stop:
                self.load_next(i + 1)
                return (queued.start, queued.stop), self._loaded[queued.start, queued.stop]
        return (position, stop), self._fetch(Range(self._url, self._size, position, stop))

    def _request_ahead(self) -> None:
        """Request the first queued range, and as many after it as `PREFETCH_BYTES` allows.

        With `cache_ranges` none after it is requested: a sample ends before the file does.
        """
        size, limit = 0, 0 if self._options.cache_ranges else PREFETCH_BYTES
        for n, queued in enumerate(self._queue):
            size += queued.stop - queued.start
            if n and (size > limit or n >= MAX_REQUESTS):
                return
            path = self._cache_path(queued)
            if queued.request_id is None and queued.missing and not (path and path.exists()):
                self._fetcher.request(queued)

    def _fetch(self, range_: Range) -> bytes:
        if (cached := self._cached(range_)) is not None:
            self._fetcher.cancel(range_)  # another worker may have cached it after it was requested
            return cached
        content = self._fetcher.result(range_, self._options.retry_policy)
        if self._options.cache_ranges and (path := self._cache_path(range_)):
            write_bytes(path, content)
        return content

    def _cached(self, range_: Range) -> bytes | None:
        path = self._cache_path(range_)
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # never cached, or evicted by another worker
            return None
        return content if len(content) == range_.stop - range_.start else None

    def _cache_path(self, range_: Range) -> Path | None:
        if self._options.folder is None:
            return None
        return self._options.folder / "ranges" / f"{self._cache_name}-{range_.start}-{range_.stop}"

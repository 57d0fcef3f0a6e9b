"""A hub file as a seekable stream over fetched ranges.

    expect(ranges)   what will be read, in order: fetched ahead, AHEAD bytes at most
    hold(n)          have the next n of them here and forget all before; whoever reads them then does not wait
    read             from what is held, else the expected range it falls into, else just what was asked for

A footer is read more than once, by the plan and by every worker, and so is the text of the tokenizer's sample: ranges
fetched with `keep` are left in the access's folder, and everybody looks there first.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from gpts_data.pipelines.hub.range_fetcher import Range, range_fetcher
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.storage.atomic_files import write_bytes

PREFETCH_BYTES = 16 << 20  # bytes asked for beyond what is being read: a second of a fast line
MAX_REQUESTS = 64  # ranges at once, however small: asking for thousands would fill the pipe of a child that hangs
BLOCK = 2 << 20  # of files read from end to end: the size of a row group's text in FineWeb
Span = tuple[int, int]


@dataclass(frozen=True)
class FetchOptions:
    """How a build reaches its sources; nothing of it is in the bytes.

    `folder` is where fetched files and ranges may lie while the build lasts (None: nowhere); with `keep`, ranges are
    left there for whoever reads the same again.
    """

    folder: Path | None = None
    retry_policy: RetryPolicy = field(default_factory=RetryPolicy)
    cache_ranges: bool = False


class RemoteFile(io.RawIOBase):
    """`hf://datasets/<id>@<commit>/<path>`, of `size` bytes. Read by the thread that made it.

    Raises `SourceUnavailableError` and `RecipeError` as `RangeFetcher.result` does.
    """

    def __init__(self, url: str, size: int, fetch_options: FetchOptions) -> None:
        super().__init__()
        self._url, self._size, self._access = url, size, fetch_options
        self._name = sha256(url.encode()).hexdigest()[:32]
        self._place = 0
        self._held: dict[Span, bytes] = {}
        self._coming: deque[Range] = deque()
        self._courier = range_fetcher()

    def prefetch(self, spans: Iterable[Span]) -> None:
        self._coming.extend(Range(self._url, self._size, *span) for span in spans)
        self._ask()

    def expect_blocks(self, start: int, stop: int) -> None:
        """Expect bytes `start..stop` in blocks, whose places are the same wherever one begins to read."""
        first = start - start % BLOCK
        self.prefetch((place, min(place + BLOCK, self._size)) for place in range(first, stop, BLOCK))

    def load_next(self, n: int) -> None:
        """Wait for the next `n` expected ranges; they are all that is held then."""
        self._held.clear()
        for _ in range(min(n, len(self._coming))):  # Arrow may have read past a range, into the next
            self._ask()
            coming = self._coming.popleft()
            self._held[coming.start, coming.stop] = self._fetch(coming)

    def reload(self, spans: Iterable[Span]) -> None:
        """Fetch ranges anew that did not hold what they should; they are all that is held then."""
        self.evict()
        for span in spans:
            self._held[span] = self._fetch(Range(self._url, self._size, *span))

    def evict(self) -> None:
        """Drop what is held, and what is kept, of this file."""
        self._held.clear()
        if self._access.folder:
            for path in (self._access.folder / "ranges").glob(f"{self._name}-*[0-9]"):  # no temporary of another worker
                path.unlink(missing_ok=True)

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._place + size, self._size)
        parts = []
        while self._place < stop:
            span, content = self._at(self._place, stop)
            part = content[self._place - span[0] : stop - span[0]]
            parts.append(part)
            self._place += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        return self._place

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        for coming in self._coming:
            self._courier.cancel(coming)
        self._coming.clear()
        self._held.clear()
        super().close()

    def _at(self, place: int, stop: int) -> tuple[Span, bytes]:
        """A held or expected range around `place`, else the bytes from there to `stop`."""
        for span, content in self._held.items():
            if span[0] <= place < span[1]:
                return span, content
        for i, coming in enumerate(self._coming):
            if coming.start <= place < coming.stop:
                self.load_next(i + 1)
                return (coming.start, coming.stop), self._held[coming.start, coming.stop]
        return (place, stop), self._fetch(Range(self._url, self._size, place, stop))

    def _ask(self) -> None:
        """Have expected ranges fetched: the first, and as many behind it as AHEAD allows; with `keep` none, since who
        draws a sample stops somewhere."""
        busy, ahead = 0, 0 if self._access.cache_ranges else PREFETCH_BYTES
        for n, coming in enumerate(self._coming):
            busy += coming.stop - coming.start
            if n and (busy > ahead or n >= MAX_REQUESTS):
                return
            path = self._path(coming)
            if coming.request_id is None and coming.missing and not (path and path.exists()):
                self._courier.request(coming)

    def _fetch(self, wanted: Range) -> bytes:
        if (kept := self._kept(wanted)) is not None:
            self._courier.cancel(wanted)  # it may have been asked for before somebody else kept it
            return kept
        content = self._courier.result(wanted, self._access.retry_policy)
        if self._access.cache_ranges and (path := self._path(wanted)):
            write_bytes(path, content)
        return content

    def _kept(self, wanted: Range) -> bytes | None:
        path = self._path(wanted)
        if path is None:
            return None
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # never kept, or forgotten by another worker
            return None
        return content if len(content) == wanted.stop - wanted.start else None

    def _path(self, wanted: Range) -> Path | None:
        if self._access.folder is None:
            return None
        return self._access.folder / "ranges" / f"{self._name}-{wanted.start}-{wanted.stop}"

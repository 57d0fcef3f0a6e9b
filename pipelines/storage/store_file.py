"""Files in a store as seekable streams, for readers that want a few ranges of a large file."""

from __future__ import annotations

import io
from collections.abc import Callable

import pyarrow as pa

from gpts_data.pipelines.storage.paths import AnyPath, StorePath, is_store, read_all, read_range, store_errors

FIRST_BYTES = 8 << 20  # of an Arrow file: the files of a small unit are no larger, and then need one request
LAST_BYTES = 64 << 10  # the footer of an Arrow file, with the places of its batches
READ_AHEAD, MOST_AHEAD = 1 << 20, 16 << 20  # bytes of a request: the first, and the largest while a file is read on


def open_arrow(path: AnyPath) -> pa.NativeFile:
    """Open a file for pyarrow: memory-mapped on disk, range by range in a store. The caller closes it."""
    return arrow_opener(path)()


def arrow_opener(path: AnyPath) -> Callable[[], pa.NativeFile]:
    """A function that opens a file like `open_arrow` as often as it is called, for threads that read parts of it."""
    if not is_store(path):
        return lambda: pa.memory_map(str(path))
    beginning = read_range(path, 0, FIRST_BYTES)
    if len(beginning) < FIRST_BYTES:
        return lambda: pa.BufferReader(beginning)
    file = ReadAheadFile(path, beginning)
    return lambda: pa.PythonFile(file.copy(), mode="r")


class StoreFile(io.RawIOBase):
    """A seekable file in a store that requests only the bytes that are read; it neither reads ahead nor caches."""

    def __init__(self, path: StorePath) -> None:
        self._path, self._position = path, 0
        with store_errors(path):
            self.size = path.stat().st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        stop = self.size if size is None or size < 0 else min(self._position + size, self.size)
        content = self._read_range(self._position, stop) if stop > self._position else b""
        self._position += len(content)
        return content

    def _read_range(self, start: int, stop: int) -> bytes:
        return read_range(self._path, start, stop)


class ReadAheadFile(StoreFile):
    """A file in a store of which neighbouring ranges are read with one request, because each waits for its answer.

    An Arrow batch has some twenty buffers, and its reader asks for each of them alone.
    """

    def __init__(self, path: StorePath, beginning: bytes) -> None:
        def size() -> None:
            StoreFile.__init__(self, path)

        def end() -> bytes:
            with store_errors(path):
                return bytes(path.fs.cat_file(path.path, start=-LAST_BYTES))

        _, last = read_all(lambda request: request(), (size, end), path)
        self._last = self.size - len(last or b""), last or b""  # where it begins, and its bytes
        self._block, self._ahead = (0, beginning), READ_AHEAD

    def copy(self) -> ReadAheadFile:
        """The same file, opened once more without a request."""
        file = ReadAheadFile.__new__(ReadAheadFile)
        file.__dict__.update(self.__dict__)
        return file

    def _read_range(self, start: int, stop: int) -> bytes:
        for first, content in (self._last, self._block):
            if first <= start and stop <= first + len(content):
                return content[start - first : stop - first]
        first, content = self._block
        is_next = first <= start <= first + len(content)
        self._ahead = min(2 * max(self._ahead, stop - start), MOST_AHEAD) if is_next else READ_AHEAD
        known = content[start - first :] if is_next else b""
        begin = start + len(known)
        content = known + read_range(self._path, begin, min(max(stop, begin + self._ahead), self.size))
        self._block = start, content
        return content[: stop - start]

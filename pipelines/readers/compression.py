"""Text of files that may be compressed, in pieces of bounded size: a few kilobytes can decompress to gigabytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterator
from typing import IO, cast

from gpts_data.pipelines.errors import is_out_of_memory
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.kinds import compression_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP_MAGIC = b"\x1f\x8b"
CHUNK_BYTES = 1 << 20
INPUT_BYTES = 8 << 10  # read at once; fixed, so that every Python recovers the same text before damage
LONGEST_WINDOW: dict[int, int] = {
    zstd.DecompressionParameter.window_log_max: 31
}  # zstd --long=31; the default refuses 128 MB and more
BOMB_RATIO = 1000  # English text compresses 4 times, repetitive logs 300 times
BOMB_BYTES = 64 << 20


class DecompressionError(Exception):
    """A file cannot be decompressed any further. The message is the fault (`damage.py`)."""


class _CountingReader:
    """Hands a file on in small pieces and counts the bytes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.consumed = 0

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(min(size, INPUT_BYTES) if size >= 0 else INPUT_BYTES)
        self.consumed += len(content)
        return content


def chunks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the text of `file` in pieces of at most `CHUNK_BYTES`, decompressed as the ending of `name` says.

    Raises `DecompressionError` where the file is cut, damaged or decompresses to far more than text would.
    """
    compression = compression_of(name)
    if compression is None:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
        return
    source = _CountingReader(file)
    size = 0
    try:
        with _open(cast(IO[bytes], source), compression) as text:
            while chunk := text.read1(CHUNK_BYTES):
                size += len(chunk)
                if size > max(BOMB_BYTES, BOMB_RATIO * source.consumed):
                    raise DecompressionError(damage.BOMB)
                yield chunk
    except EOFError as error:
        raise DecompressionError(damage.CUT_FRAME) from error
    except (zstd.ZstdError, zlib.error, lzma.LZMAError, OSError) as error:
        if is_out_of_memory(error) or (isinstance(error, OSError) and error.errno is not None):
            raise  # of the disk; those of gzip and bz2 for damaged content have no number
        is_cut = str(error).endswith(repr(GZIP_MAGIC[:1]) + ")")  # gzip takes half a magic number for a wrong one
        raise DecompressionError(damage.CUT_FRAME if is_cut else damage.DAMAGED_FRAME) from error
    if not source.consumed:  # text without lines is a frame too; gzip takes an empty file for one
        raise DecompressionError(damage.CUT_FRAME)


def _open(file: IO[bytes], compression: str) -> gzip.GzipFile | zstd.ZstdFile | bz2.BZ2File | lzma.LZMAFile:
    if compression == "gzip":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if compression == "bzip2":
        return bz2.BZ2File(file)
    if compression == "xz":
        return lzma.LZMAFile(file)
    return zstd.ZstdFile(file, options=LONGEST_WINDOW)

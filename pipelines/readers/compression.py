"""The text of a file that may be compressed, in bounded pieces: a few kilobytes can decompress to gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import zstandard

from gpts_data.pipelines.readers import damage

COMPRESSED = (".zst", ".gz")
CHUNK_BYTES = 1 << 20
SLICE_BYTES = 1 << 10  # at once: 4 bytes of zstd can become 128 KiB, so this 33 MB; 724 MB/s, 907 without slices
WINDOW_BYTES = 1 << 31  # zstd --long=31, the longest; the library's own limit, 128 MB, calls a sound file damaged
BOMB_RATIO = 1000  # prose has 4, the dullest logs 300
BOMB_BYTES = 64 << 20


class DecompressionError(Exception):
    """The file cannot be decompressed any further; the message is the fault."""


def chunks(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The file's text in pieces of about CHUNK_BYTES. Raises `Broken` where it ends too soon."""
    if name.endswith(".zst"):
        yield from _gathered(
            _frames(file, lambda: zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).decompressobj(), b"")
        )
    elif name.endswith(".gz"):
        yield from _gathered(_frames(file, lambda: zlib.decompressobj(wbits=31), b"\0"))  # tape pads with zeros
    else:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _frames(file: IO[bytes], new_frame: Callable[[], Any], padding: bytes) -> Iterator[bytes]:
    """Frame by frame, since the libraries' own readers take a cut file for a finished one, or lose what came before."""
    frame = new_frame()
    begun = True  # text of no lines is a frame too: a file without one was cut short
    consumed = size = 0
    try:
        while block := file.read(CHUNK_BYTES):
            for start in range(0, len(block), SLICE_BYTES):
                part = block[start : start + SLICE_BYTES]
                consumed += len(part)
                while part := part if begun else part.lstrip(padding):
                    begun = True
                    text = frame.decompress(part)
                    size += len(text)
                    _refuse_bomb(consumed, size)
                    yield text
                    if not frame.eof:
                        break
                    part, begun, frame = frame.unused_data, False, new_frame()
    except (zstandard.ZstdError, zlib.error) as error:
        raise DecompressionError(damage.DAMAGED_FRAME) from error
    if begun:
        raise DecompressionError(damage.CUT_FRAME)


def _refuse_bomb(consumed: int, size: int) -> None:
    if size > BOMB_BYTES and size > BOMB_RATIO * consumed:
        raise DecompressionError(damage.BOMB)


def _gathered(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Small pieces as large ones; what came before a break comes before it here too."""
    parts: list[bytes] = []
    n = 0
    try:
        for piece in pieces:
            parts.append(piece)
            n += len(piece)
            if n >= CHUNK_BYTES:
                yield b"".join(parts)
                parts, n = [], 0
    except DecompressionError:
        yield b"".join(parts)
        raise
    yield b"".join(parts)

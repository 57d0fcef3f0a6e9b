"""The bytes of the mix folder: shards of windows, their sidecars, and the document tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.storage.paths import is_store, read_range, store_errors

SIDECAR = np.dtype([("source", "u1"), ("window", "<u4")])


DOCUMENTS = pa.schema(
    [
        ("id", pa.string()),
        ("url", pa.string()),
        ("unit", pa.string()),
        ("start", pa.uint64()),
        ("tokens", pa.uint32()),
    ]
)


def map_windows(path: Path, window: int) -> NDArray[np.uint16]:
    """A headerless little-endian uint16 file as rows of `window` ids; memory-mapped unless empty or in a store."""
    if is_store(path):
        with store_errors(path):
            content = path.read_bytes()
        return np.frombuffer(content, dtype=np.dtype("<u2")).reshape(-1, window)
    if path.stat().st_size == 0:
        return np.empty((0, window), dtype="<u2")
    return np.memmap(path, dtype="<u2", mode="r").reshape(-1, window)


def read_windows(path: Path, window: int, start: int, stop: int) -> NDArray[np.uint16]:
    """Rows `start..stop` of such a file: uint16, shape (stop - start, window). A copy: a map is an open file, and 1,024
    are all that many systems allow."""
    if not is_store(path):
        found = np.fromfile(path, np.dtype("<u2"), (stop - start) * window, offset=start * window * 2)
        return found.reshape(-1, window)
    content = read_range(path, start * window * 2, stop * window * 2) if stop > start else b""
    return np.frombuffer(content, dtype=np.dtype("<u2")).reshape(-1, window)

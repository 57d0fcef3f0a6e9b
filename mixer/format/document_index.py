"""The index of a document table: from a document's id to its rows, without reading the table.

`00000.ids.npy` beside `00000.parquet`: a uint64 for each row, half a hash of its id above its number, sorted. Half a
hash is enough: among 20 million documents one lookup in 200 looks at a row in vain.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.storage.paths import load_npy
from gpts_data.pipelines.text.hashing import hash_strings

SUFFIX = ".ids.npy"
SEED = 0x1D
_HIGH, _BITS = np.uint64(0xFFFFFFFF00000000), np.uint64(32)


def index_ids(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """uint64, shape (len(ids),), sorted."""
    hashes = np.concatenate([np.empty(0, np.uint64), *(hash_strings(chunk, SEED) for chunk in ids.chunks)])
    return np.sort(hashes & _HIGH | np.arange(len(ids), dtype=np.uint64))


def find_rows(table: Path, document_id: str) -> NDArray[np.int64]:
    """The rows of a table that may have this id, in order: int64."""
    index = load_npy(table.with_suffix(SUFFIX))
    key = hash_strings(pa.array([document_id], pa.string()), SEED)[0] & _HIGH
    first, last = np.searchsorted(index, [key, key | ~_HIGH])
    rows: NDArray[np.int64] = (index[first:last] & ~_HIGH).astype(np.int64)
    return rows

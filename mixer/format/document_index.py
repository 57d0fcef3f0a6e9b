"""The index of a document table: from a document's id to its rows, without reading the table.

`_00000.ids.npy` lies beside `00000.parquet` and has a uint64 for each row, sorted: the upper half of a 64-bit hash of
the row's id in the upper 32 bits, the row's number in the lower ones. 32 bits of hash are enough: among 20 million
documents one lookup in 200 finds another document's row too, which the reader of the table then rejects.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.text.hashing import hash_strings

SEED = 0x1D
_HASH_BITS = np.uint64(0xFFFFFFFF00000000)


def index_name(table: str) -> str:
    """The name of the index of a table: `_00000.ids.npy` for `00000.parquet`.

    pyarrow leaves out names with an underscore in front when it opens a folder of tables as one.
    """
    return f"_{table.removesuffix('.parquet')}.ids.npy"


def index_ids(ids: pa.ChunkedArray) -> NDArray[np.uint64]:
    """The index of a table with these ids: uint64, shape (len(ids),), sorted."""
    hashes = np.concatenate([np.empty(0, np.uint64), *(hash_strings(chunk, SEED) for chunk in ids.chunks)])
    return np.sort(hashes & _HASH_BITS | np.arange(len(ids), dtype=np.uint64))


def find_rows(index: NDArray[np.uint64], document_id: str) -> NDArray[np.int64]:
    """The rows of a table with this index that may have this id, ascending: int64. Compare their ids: hashes can
    collide."""
    key = hash_strings(pa.array([document_id], pa.string()), SEED)[0] & _HASH_BITS
    first, last = np.searchsorted(index, [key, key | ~_HASH_BITS])
    rows: NDArray[np.int64] = (index[first:last] & ~_HASH_BITS).astype(np.int64)
    return rows

"""Digests of the values in a file, for formats whose bytes depend on the library that writes them.

The root digest of a mix covers these instead of the sha256 of the file, so that a mix has the same root digest with any
supported version of pyarrow and NumPy. All numbers that are hashed are little-endian.

.npy        sha256 of the array's values in C order: of the file without its header
.parquet    sha256 of the number of rows (uint64), then of each column in order:
            integers    the values, 8 bytes each
            strings     the length of each value in UTF-8 bytes (int64; -1 for null), then the bytes of all values
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.pipelines.errors import GptsDataError, VerificationError
from gpts_data.pipelines.storage.atomic_files import array_digest
from gpts_data.pipelines.storage.paths import AnyPath, load_npy
from gpts_data.pipelines.storage.store_file import open_arrow
from gpts_data.pipelines.text.hashing import string_buffers


def content_digest(path: AnyPath) -> str | None:
    """The digest of the values in a file, in hex; None for a format whose bytes no library chooses.

    Raises `VerificationError` for a file that cannot be read as what its name says.
    """
    try:
        if path.suffix == ".npy":
            return array_digest(load_npy(path))
        if path.suffix == ".parquet":
            with open_arrow(path) as content:
                return table_digest(pq.read_table(content))
    except GptsDataError:
        raise
    except Exception as error:  # NumPy and pyarrow have many for a damaged file: ValueError, EOFError, OSError, ...
        raise VerificationError(f"{path}: cannot be read: {error}") from error
    return None


def table_digest(table: pa.Table) -> str:
    """The digest of a table's values, in hex. Its columns are strings or integers, and integers are not null."""
    digest = hashlib.sha256(np.array(table.num_rows, "<u8").tobytes())
    for column in table.columns:
        for values in _integers(column) if pa.types.is_integer(column.type) else _strings(column):
            digest.update(values.data)
    return digest.hexdigest()


def _integers(column: pa.ChunkedArray) -> Iterator[NDArray[np.integer]]:
    for chunk in column.chunks:
        values = chunk.to_numpy(zero_copy_only=True)  # raises for a column with nulls, which has no integers there
        yield values.astype("<u8" if values.dtype.kind == "u" else "<i8", copy=False)


def _strings(column: pa.ChunkedArray) -> Iterator[NDArray[np.integer]]:
    buffers = [string_buffers(chunk) for chunk in column.chunks]
    for chunk, (_, offsets) in zip(column.chunks, buffers, strict=True):
        lengths = np.diff(offsets).astype("<i8")
        lengths[chunk.is_null().to_numpy(zero_copy_only=False)] = -1
        yield lengths
    for data, offsets in buffers:
        yield data[offsets[0] : offsets[-1]]

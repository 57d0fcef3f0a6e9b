"""The byte layouts of other projects' files.

Each writer is a generator: it fills a file and yields, after each chunk, how many windows it has written since the
last one (0 for anything that is not a window). A chunk has at most CHUNK windows, so memory does not depend on the mix.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.export.window_files import CHUNK, WindowFile, document_start_mask
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.paths import AnyPath

LLMC_HEADERS = {"<u2": (20240520, 1), "<u4": (20240801, 7)}
"""Magic number and version of llm.c's files; those of uint32 are for its train_llama3.py."""
MEGATRON_CODES = {"<u2": 8, "<u4": 4}
"""Megatron's codes for uint16 and int32. It has none for uint32, and every id fits into 31 bits."""


def content(file: IO[bytes], data: bytes) -> Iterator[int]:
    """`data` as it is."""
    file.write(data)
    yield 0


def copy(file: IO[bytes], path: AnyPath) -> Iterator[int]:
    """The content of another file."""
    yield from content(file, path.read_bytes())


def ids(file: IO[bytes], window_files: Sequence[WindowFile]) -> Iterator[int]:
    """The token ids without a header."""
    for rows in window_files:
        for chunk in rows.chunks():
            file.write(chunk.data)
            yield len(chunk)


def llmc(file: IO[bytes], window_files: Sequence[WindowFile]) -> Iterator[int]:
    """256 int32 (magic number, version, number of ids, zeros), then the token ids."""
    _llmc_header(file, window_files, sum(rows.windows * rows.size for rows in window_files))
    yield from ids(file, window_files)


def bos_first(file: IO[bytes], window_files: Sequence[WindowFile], eos_id: int) -> Iterator[int]:
    """llm.c's header, then each window behind an end-of-text, and without its own at its end.

    So each document, or the window's part of one, begins with end-of-text instead of ending with it.
    """
    chunks = (chunk for rows in window_files for chunk in rows.chunks())
    count = sum(chunk.size + int((chunk[:, -1] != eos_id).sum()) for chunk in chunks)
    _llmc_header(file, window_files, count)
    for rows in window_files:
        for chunk in rows.chunks():
            begun = np.pad(chunk, ((0, 0), (1, 0)), constant_values=eos_id)
            is_taken = np.ones(begun.shape, np.bool_)
            is_taken[:, -1] = chunk[:, -1] != eos_id
            file.write(begun[is_taken].data)
            yield len(chunk)


def _llmc_header(file: IO[bytes], window_files: Sequence[WindowFile], count: int) -> None:
    if count >= 2**31:
        raise UsageError(
            f"{window_files[0].path}: {count:,} ids, and llm.c's header counts to {2**31 - 1:,}; build the mix "
            "with fewer shard_windows"
        )
    header = np.zeros(256, "<i4")
    header[:3] = *LLMC_HEADERS[window_files[0].dtype.str], count
    file.write(header.data)


def document_ends(file: IO[bytes], rows: WindowFile, eos_id: int) -> Iterator[int]:
    """The ends of all documents or parts of them, counted in ids from the file's start: uint64."""
    n_ids = 0
    for chunk in rows.chunks():
        starts = np.flatnonzero(document_start_mask(chunk, eos_id)).astype("<u8") + n_ids
        file.write(starts[int(n_ids == 0) :].data)  # a document ends where the next one starts
        n_ids += chunk.size
        yield 0
    file.write(np.array([n_ids], "<u8").data)


def metric(rows: WindowFile) -> str:
    """The number of tokens for people to read, like `67.1 MT`, as datatrove writes it into its metadata."""
    count = float(rows.windows * rows.size)
    for unit in ("", "k", "M", "G"):
        if count < 1000 or unit == "G":
            break
        count /= 1000
    return f"{count:.3g} {unit}T"


def megatron_index(file: IO[bytes], windows: int, size: int, dtype: np.dtype[Any]) -> Iterator[int]:
    """Megatron's index, with one sequence and one document for each window.

    9 bytes magic number, uint64 version, uint8 dtype, uint64 number of sequences, uint64 number of documents + 1;
    int32 length of each sequence, int64 byte offset of each, int64 first sequence of each document and, last, the end.
    """
    file.write(b"MMIDIDX\x00\x00" + np.array([1], "<u8").tobytes() + bytes([MEGATRON_CODES[dtype.str]]))
    file.write(np.array([windows, windows + 1], "<u8").data)
    lengths, offsets, documents = (np.dtype(name) for name in ("<i4", "<i8", "<i8"))
    yield from _numbers(file, windows, lambda n: np.full(len(n), size, lengths))
    yield from _numbers(file, windows, lambda n: (n * size * dtype.itemsize).astype(offsets))
    yield from _numbers(file, windows + 1, lambda n: n.astype(documents))


def _numbers(file: IO[bytes], count: int, of: Callable[[NDArray[np.int64]], NDArray[Any]]) -> Iterator[int]:
    """The array `of([0, 1, ..., count - 1])`, in chunks: the index of 48 million windows has 1 GB."""
    for start in range(0, count, CHUNK):
        file.write(of(np.arange(start, min(start + CHUNK, count), dtype=np.int64)).data)
        yield 0


def parquet(file: IO[bytes], rows: WindowFile, names: Sequence[str], eos_id: int) -> Iterator[int]:
    """One row for each window, one row group for each chunk.

    Parquet's dictionary encoding, on by default, stores an id of a 4,096-entry vocabulary in 12 bits instead of 32.
    """
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.from_numpy_dtype(rows.dtype))),
            ("source", pa.string()),
            ("document_starts", pa.list_(pa.int32())),
        ]
    )
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
        for chunk, sources in zip(rows.chunks(), rows.sources(), strict=True):
            row, offset = np.nonzero(document_start_mask(chunk, eos_id))
            ends = np.searchsorted(row, np.arange(len(chunk) + 1))
            columns = [
                _lists(chunk.ravel(), np.arange(len(chunk) + 1) * rows.size),
                pa.DictionaryArray.from_arrays(pa.array(sources), pa.array(names)).cast(pa.string()),
                _lists(offset.astype(np.int32), ends),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=CHUNK)
            yield len(chunk)


def _lists(values: NDArray[Any], offsets: NDArray[np.int64]) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))


def mds(file: IO[bytes], rows: WindowFile) -> Iterator[int]:
    """uint32 number of samples, uint32 byte offset of each and of the end, the columns as JSON, the samples."""
    columns = _mds_columns(rows)
    offsets = mds_offsets(rows)
    file.write(np.array([rows.windows], "<u4").data)
    file.write(offsets.astype("<u4").data)
    file.write(columns)
    yield from ids(file, [rows])


def mds_offsets(rows: WindowFile) -> NDArray[np.int64]:
    """The byte offsets of the samples and of the end of the last one: int64, shape (windows + 1,)."""
    sizes = np.arange(rows.windows + 1) * rows.size * rows.dtype.itemsize
    return 4 + 4 * (rows.windows + 1) + len(_mds_columns(rows)) + sizes


def _mds_columns(rows: WindowFile) -> bytes:
    return json.dumps(_mds_description(rows), sort_keys=True).encode()


def _mds_description(rows: WindowFile) -> dict[str, Any]:
    """The description that shard and index.json have in common. With a fixed size no sample needs its length."""
    return {
        "column_encodings": [f"ndarray:{rows.dtype.name}:{rows.size}"],
        "column_names": ["tokens"],
        "column_sizes": [rows.size * rows.dtype.itemsize],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }


def mds_entry(rows: WindowFile, name: str) -> dict[str, Any]:
    """The entry of a shard in index.json. Raises `UsageError` for a shard over 4 GiB."""
    size = int(mds_offsets(rows)[-1])
    if size >= 2**32:
        raise UsageError(
            f"{rows.path}: {size:,} bytes, and MDS counts to {2**32 - 1:,}; build the mix with fewer shard_windows"
        )
    raw = {"basename": name, "bytes": size, "hashes": {}}
    return {**_mds_description(rows), "raw_data": raw, "samples": rows.windows, "zip_data": None}

"""The byte layouts of other projects' files. Each function fills a file and yields how many windows went in since.

Everything is written some thousand windows at a time, so memory does not depend on the mix.
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

LLMC_MAGIC, LLMC_VERSION = 20240520, 1
MEGATRON_UINT16 = 8  # its code of the dtype
WINDOW = pa.schema(
    [("input_ids", pa.list_(pa.uint16())), ("source", pa.string()), ("document_starts", pa.list_(pa.int32()))]
)


def content(file: IO[bytes], whole: bytes) -> Iterator[int]:
    file.write(whole)
    yield 0


def copy(file: IO[bytes], path: AnyPath) -> Iterator[int]:
    yield from content(file, path.read_bytes())


def ids(file: IO[bytes], splits: Sequence[WindowFile]) -> Iterator[int]:
    for rows in splits:
        for chunk in rows.chunks():
            file.write(chunk.data)
            yield len(chunk)


def llmc(file: IO[bytes], splits: Sequence[WindowFile]) -> Iterator[int]:
    count = sum(rows.windows * rows.size for rows in splits)
    if count >= 2**31:
        raise UsageError(
            f"{splits[0].path}: {count:,} ids, and llm.c's header counts to {2**31 - 1:,}; build the mix with fewer "
            "shard_windows"
        )
    header = np.zeros(256, "<i4")
    header[:3] = LLMC_MAGIC, LLMC_VERSION, count
    file.write(header.data)
    yield from ids(file, splits)


def document_ends(file: IO[bytes], rows: WindowFile, eos_id: int) -> Iterator[int]:
    """The start of the next run of a document is the end of this one; the file's end is the last."""
    done = 0
    for chunk in rows.chunks():
        starts = np.flatnonzero(document_start_mask(chunk, eos_id)).astype("<u8") + done
        file.write(starts[int(done == 0) :].data)
        done += chunk.size
        yield 0
    file.write(np.array([done], "<u8").data)


def metric(rows: WindowFile) -> str:
    """`67.1 MT`, for people, as datatrove's files have it."""
    count = float(rows.windows * rows.size)
    for unit in ("", "k", "M", "G"):
        if count < 1000 or unit == "G":
            break
        count /= 1000
    return f"{count:.3g} {unit}T"


def megatron_index(file: IO[bytes], windows: int, size: int) -> Iterator[int]:
    """Magic, version, dtype, two counts; then lengths int32, byte offsets int64, and the documents' first sequences."""
    file.write(b"MMIDIDX\x00\x00" + np.array([1], "<u8").tobytes() + bytes([MEGATRON_UINT16]))
    file.write(np.array([windows, windows + 1], "<u8").data)
    lengths, offsets, documents = (np.dtype(name) for name in ("<i4", "<i8", "<i8"))
    yield from _numbers(file, windows, lambda n: np.full(len(n), size, lengths))
    yield from _numbers(file, windows, lambda n: (n * size * 2).astype(offsets))
    yield from _numbers(file, windows + 1, lambda n: n.astype(documents))


def _numbers(file: IO[bytes], count: int, of: Callable[[NDArray[np.int64]], NDArray[Any]]) -> Iterator[int]:
    """of(0), of(1), ... of(count - 1): some at a time, as 48 million windows have 1 GB of index."""
    for start in range(0, count, CHUNK):
        file.write(of(np.arange(start, min(start + CHUNK, count), dtype=np.int64)).data)
        yield 0


def parquet(file: IO[bytes], rows: WindowFile, names: Sequence[str], eos_id: int) -> Iterator[int]:
    """A row a window, a row group a chunk. A dictionary holds 4,096 ids in 12 bits, where a plain page has 32."""
    with pq.ParquetWriter(file, WINDOW, compression="zstd", write_page_checksum=True) as writer:
        for chunk, sources in zip(rows.chunks(), rows.sources(), strict=True):
            place, offset = np.nonzero(document_start_mask(chunk, eos_id))
            ends = np.searchsorted(place, np.arange(len(chunk) + 1))
            columns = [
                _lists(chunk.ravel(), np.arange(len(chunk) + 1) * rows.size),
                pa.DictionaryArray.from_arrays(pa.array(sources), pa.array(names)).cast(pa.string()),
                _lists(offset.astype(np.int32), ends),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=WINDOW), row_group_size=CHUNK)
            yield len(chunk)


def _lists(values: NDArray[Any], ends: NDArray[np.int64]) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), pa.array(values))


def mds(file: IO[bytes], rows: WindowFile) -> Iterator[int]:
    """Count, byte offsets of the samples and of the end, the columns as JSON, the samples; numbers are uint32."""
    columns = _mds_columns(rows)
    offsets = mds_offsets(rows)
    file.write(np.array([rows.windows], "<u4").data)
    file.write(offsets.astype("<u4").data)
    file.write(columns)
    yield from ids(file, [rows])


def mds_offsets(rows: WindowFile) -> NDArray[np.int64]:
    """Where each sample begins in the file, and where the last one ends: windows + 1 numbers."""
    return 4 + 4 * (rows.windows + 1) + len(_mds_columns(rows)) + np.arange(rows.windows + 1) * rows.size * 2


def _mds_columns(rows: WindowFile) -> bytes:
    return json.dumps(_mds_facts(rows), sort_keys=True).encode()


def _mds_facts(rows: WindowFile) -> dict[str, Any]:
    """What shard and index both say. A fixed shape needs no length before each sample."""
    return {
        "column_encodings": [f"ndarray:uint16:{rows.size}"],
        "column_names": ["tokens"],
        "column_sizes": [rows.size * 2],
        "compression": None,
        "format": "mds",
        "hashes": [],
        "size_limit": None,
        "version": 2,
    }


def mds_entry(rows: WindowFile, name: str) -> dict[str, Any]:
    """A shard's line in index.json. Raises `UsageError` for one over 4 GiB."""
    size = int(mds_offsets(rows)[-1])
    if size >= 2**32:
        raise UsageError(
            f"{rows.path}: {size:,} bytes, and MDS counts to {2**32 - 1:,}; build the mix with fewer shard_windows"
        )
    raw = {"basename": name, "bytes": size, "hashes": {}}
    return {**_mds_facts(rows), "raw_data": raw, "samples": rows.windows, "zip_data": None}

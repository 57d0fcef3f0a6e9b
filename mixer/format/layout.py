"""The files of a mix folder, byte by byte, and the functions that map and read them.

All numbers are little-endian. N is the number of windows in a file, W the tokens of a window (`window` in the recipe).

shards/train-00000.bin, ...              windows in training order, `shard_windows` to a file (fewer in the last one)
    uint16[N][W]      token ids; no header and no padding, so the file has N * W * 2 bytes. uint32, and N * W * 4 bytes,
                      when the tokenizer has more than 65,536 entries (`tokenizer.dtype` in the manifest)

shards/train-00000.windows.npy, ...      the sidecar of a shard: where each of its windows comes from (`SIDECAR`)
    NumPy's .npy header (version 1.0, shape (N,)), then 5 bytes a window:
    uint8             source: index of its source in the recipe
    uint32            window: its number in the stream of that source

validation/SOURCE.bin                    held-out windows of a source, in the order of the source
    uint16[N][W]      token ids; no header; uint32 as in the shards

documents/SOURCE/00000.parquet, ...      document table of the training documents, in stream order (`DOCUMENTS`)
validation/SOURCE.parquet                the same for the held-out documents
    id      string    the document's id in its source; FILE:ROW_GROUP:ROW or FILE:FIRST_BYTE where it has none
    url     string    its URL; null where the source has none
    unit    string    part of the source that it was read in: FILE:START-STOP, row groups (parquet) or bytes (lines)
    start   uint64    its first token in the source's stream
    tokens  uint32    number of its tokens, end-of-text included

documents/SOURCE/_00000.ids.npy, ...     index of a document table: from an id to its rows (document_index.py)
validation/_SOURCE.ids.npy
    NumPy's .npy header, then a uint64 for each row, sorted: the upper 32 bits are the upper half of a hash of the id,
    the lower 32 bits the row's number in the table

outcomes/SOURCE/00000.npy, ...           what became of every document of a unit that was read (outcomes.py)
    NumPy's .npy header, then a uint64 for each document, sorted: the upper 48 bits are a hash of its id, the lower 16
    bits the number of its outcome

outcomes/SOURCE/00000.kept.npy, ...      the document that each duplicate among these repeats (outcomes.KEPT)
dropped/SOURCE.jsonl                     samples of dropped documents, where the recipe has `keep_dropped`: JSON lines
tokenizer/                               loads with transformers.AutoTokenizer.from_pretrained
README.md, croissant.json                dataset card (dataset_card.py); the same for programs (croissant.py)
manifest.json                            size and sha256 of every file above (manifest.py); written last

The stream of a source is the tokens of its training documents one after another, each followed by one end-of-text
token. Window k holds tokens k * W to (k + 1) * W of it; a document longer than a window continues in window k + 1. The
tokens after the last window are in no file. Their documents are in the document tables all the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from gpts_data.pipelines.storage.paths import AnyPath, is_store, read_range, store_errors
from gpts_data.tokenizer.artifact import FILES as TOKENIZER_FILES
from gpts_data.tokenizer.artifact import TokenIds

UINT16 = np.dtype("<u2")
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

Entry = TypeVar("Entry", bound=Mapping[str, Any])

_FILES_OF_A_MIX = re.compile(
    r"shards/train-\d{5,}\.(bin|windows\.npy)|validation/(SOURCE\.(bin|parquet)|_SOURCE\.ids\.npy)|"
    r"documents/SOURCE/(\d{5,}\.parquet|_\d{5,}\.ids\.npy)|outcomes/SOURCE/\d{5,}(\.kept)?\.npy|dropped/SOURCE\.jsonl|"
    r"README\.md|croissant\.json|tokenizer/(TOKENIZER)".replace("SOURCE", r"[A-Za-z0-9][A-Za-z0-9._-]*").replace(
        "TOKENIZER", "|".join(map(re.escape, TOKENIZER_FILES))
    )
)


def is_file_of_a_mix(name: str) -> bool:
    """Whether this is the name of one of the files above, other than manifest.json."""
    return _FILES_OF_A_MIX.fullmatch(name) is not None


def document_tables(files: Iterable[Entry], source: str) -> list[Entry]:
    """The document tables of a source, in stream order: those of `files`, the manifest's entries, that are such."""
    folder = f"documents/{source}/"
    tables = [file for file in files if file["file"].startswith(folder) and file["file"].endswith(".parquet")]
    return sorted(tables, key=lambda table: (len(table["file"]), table["file"]))  # 100000.parquet follows 99999.parquet


def map_windows(path: AnyPath, window: int, dtype: np.dtype[Any] = UINT16) -> TokenIds:
    """The windows of a shard or validation file: of type `dtype`, shape (windows, window).

    Memory-mapped, unless the file is empty; read whole when it lies in a store.
    """
    if is_store(path):
        with store_errors(path):
            content = path.read_bytes()
        return np.frombuffer(content, dtype=dtype).reshape(-1, window)
    if path.stat().st_size == 0:
        return np.empty((0, window), dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").reshape(-1, window)


def read_windows(path: AnyPath, window: int, start: int, stop: int, dtype: np.dtype[Any] = UINT16) -> TokenIds:
    """Windows `start` to `stop` of such a file, and nothing else of it: of type `dtype`, shape (stop - start, window).

    They are copied, not mapped: a mapped file stays open, and many systems allow a process 1,024 open files.
    """
    if not is_store(path):
        ids = np.fromfile(path, dtype, (stop - start) * window, offset=start * window * dtype.itemsize)
        return ids.reshape(-1, window)
    size = window * dtype.itemsize
    content = read_range(path, start * size, stop * size) if stop > start else b""
    return np.frombuffer(content, dtype=dtype).reshape(-1, window)

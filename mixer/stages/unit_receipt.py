"""The receipt of a prepared unit, and the check that the unit's files hold what it says.

Kept units may come from somebody else, who can write a receipt for any file. Checksums do not notice that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Meta

from gpts_data.mixer.stages.dedup_index import RUN
from gpts_data.mixer.stages.dropped_ids import load_dropped
from gpts_data.mixer.stages.unit_file import unit_schema
from gpts_data.pipelines.storage.checksums import AnyChecksum
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.store_file import open_arrow
from gpts_data.pipelines.storage.typed_json import Count

UNIT_END, RUN_END, SAMPLES_END, DROPPED_END = ".arrow", ".keys.arrow", ".dropped.jsonl", ".dropped.npy"
"""What the names of a unit's files end with."""
MAX_NAMED = 20  # damaged documents listed in the receipt of a unit, and per source in the manifest


class ParityCheckCounts(TypedDict):
    """Text on which the fast encoder was compared with the reference encoder."""

    documents: Count
    bytes: Count


class UnitReceipt(TypedDict):
    """Receipt of one prepared unit."""

    key: str
    source: str
    unit: str
    read: Count
    """Documents read; `kept` and the values of `dropped` add up to it."""
    kept: Count
    dropped: dict[str, Count]
    """Documents dropped, by reason."""
    damaged: Annotated[list[str], Meta(max_length=MAX_NAMED)]
    """`place: fault` of the first MAX_NAMED damaged documents."""
    n_damaged: Count
    tokens: Count
    """Tokens of the kept documents."""
    keys: Count
    """Keys in the unit's run."""
    files: dict[str, AnyChecksum]
    """Of the unit file and the files beside it, by what their names end with."""
    encoder: str
    """Library and version that encoded the text."""
    proven: ParityCheckCounts


def check_receipt(receipt: UnitReceipt, source: str, unit: str) -> None:
    """Raise `ValueError` when a receipt is not of this source and unit, or its counts contradict each other."""
    n_dropped = sum(receipt["dropped"].values())
    _compare("source", receipt["source"], source)
    _compare("unit", receipt["unit"], unit)
    _compare("files", sorted(receipt["files"]), sorted((UNIT_END, RUN_END, SAMPLES_END, DROPPED_END)))
    _compare("documents read", receipt["read"], receipt["kept"] + n_dropped)
    _compare("damaged documents named", len(receipt["damaged"]), min(receipt["n_damaged"], MAX_NAMED))
    if receipt["n_damaged"] > n_dropped:
        raise ValueError(f"found {receipt['n_damaged']:,} damaged documents, expected at most {n_dropped:,}")


def check_files(receipt: UnitReceipt, path: AnyPath, n_keys: int, dtype: np.dtype[Any]) -> None:
    """Raise `ValueError` when a unit's files are not readable, or do not hold what its receipt says.

    path: of the unit file, on disk. n_keys: number of key columns of dedup. dtype: type of its token ids. The samples
    are checked when they are read.
    """
    try:
        documents, tokens = _count_documents(path, dtype)
        keys, places = _count_keys(path.with_suffix(RUN_END))
        counts = np.bincount(load_dropped(path.with_suffix(DROPPED_END))[1]).tolist()
    except Exception as error:  # pyarrow and numpy raise errors of many classes for a file of somebody else
        raise ValueError(f"not readable: {error}") from error
    _compare("documents in the unit file", documents, receipt["kept"])
    _compare("tokens", tokens, receipt["tokens"])
    _compare("keys", keys, receipt["keys"])
    _compare("documents dropped, by reason", counts, [n for _, n in sorted(receipt["dropped"].items())])
    if places > documents * n_keys:
        raise ValueError(f"found a key at place {places - 1:,}, expected less than {documents * n_keys:,}")


def _count_documents(path: AnyPath, dtype: np.dtype[Any]) -> tuple[int, int]:
    """The numbers of documents and of tokens in a unit file."""
    documents = tokens = 0
    for batch in _sound_batches(path, unit_schema(dtype)):
        ids, matches = batch.column("ids"), batch.column("matches")
        if not pc.list_value_length(ids).cast(pa.uint32()).equals(batch.column("tokens")):
            raise ValueError("lists of token ids whose lengths are not those in the column `tokens`")
        columns = batch.column("draw"), batch.column("tokens"), matches, matches.flatten(), ids, ids.flatten()
        if any(column.null_count for column in columns):
            raise ValueError("null in a column that has none")
        documents += batch.num_rows
        tokens += len(columns[-1])
    return documents, tokens


def _count_keys(path: AnyPath) -> tuple[int, int]:
    """The number of keys in a unit's run, and their last place plus one."""
    keys = places = 0
    for batch in _sound_batches(path, RUN):
        if any(column.null_count for column in batch.columns):
            raise ValueError("null in a column that has none")
        keys += batch.num_rows
        places = max(places, 1 + (pc.max(batch.column("place")).as_py() if batch.num_rows else -1))
    return keys, places


def _sound_batches(path: AnyPath, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches of an Arrow file; whether their buffers and offsets fit is checked."""
    with open_arrow(path) as file, pa.ipc.open_file(file) as reader:
        if reader.schema != schema:
            raise ValueError(f"columns {', '.join(reader.schema.names)} that are not those of such a file")
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            batch.validate(full=True)
            yield batch


def _compare(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ValueError(f"{what}: found {found}, expected {expected}")

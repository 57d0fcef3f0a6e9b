"""DIFF: what differs between two mixes: documents, windows, recipe and digests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gpts_data.mixer.format.find_document import table_entries
from gpts_data.mixer.format.layout import SIDECAR
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.outcomes import ID_SEED
from gpts_data.pipelines.storage.atomic_files import atomic_write
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.text.hashing import hash_strings
from gpts_data.tokenizer.artifact import TokenIds

Side = Literal["a", "b"]
MAX_IDS = 20  # ids of documents that are listed by source and mix
WINDOWS_AT_ONCE = 8192  # compared at once: 8 MB of each mix with windows of 512
DIFFERING = pa.schema(
    [
        ("source", pa.string()),
        ("document_id", pa.string()),
        ("url", pa.string()),
        ("only_in", pa.string()),
        ("held_out", pa.bool_()),
        ("tokens", pa.uint32()),
    ]
)
"""Columns of the file of all documents that only one of two mixes has; `only_in` is a or b."""


@dataclass(frozen=True)
class SourceDifference:
    """What differs in one source. Documents count with those that are held out for validation."""

    share_a: float
    """Its share of the windows of A; 0 when A does not have the source."""
    share_b: float
    documents_a: int
    """Documents that A has of it."""
    documents_b: int
    n_only_a: int
    """Documents of A whose id B does not have in this source."""
    n_only_b: int
    only_a: tuple[str, ...]
    """Ids of the first documents that only A has."""
    only_b: tuple[str, ...]
    differing_windows: int
    """Windows of A, of this source, that are not at the same position in B."""


@dataclass(frozen=True)
class ValueDifference:
    """A value that two mixes have under the same name."""

    key: str
    """Its dotted name."""
    a: Any
    b: Any


@dataclass(frozen=True)
class MixDifference:
    """What differs between two mixes, A and B."""

    same: bool
    """Whether the root digests are equal: the two have the same contents."""
    digests: tuple[ValueDifference, ...]
    """Digests that differ."""
    recipe: tuple[ValueDifference, ...]
    """Keys of the recipe and lists of `[exclude]` that differ."""
    windows_a: int
    windows_b: int
    compared_windows: int
    """Positions of the training order that both have; 0 when their windows have other sizes."""
    differing_windows: int
    """Positions among these with other tokens."""
    sources: dict[str, SourceDifference]
    """By name: the sources of A in its order, then those that only B has."""


def diff(a: Mix, b: Mix, max_ids: int = MAX_IDS) -> MixDifference:
    """Compare two mixes. `max_ids`: ids that are listed per source and mix.

    Memory: 24 bytes for each document of the largest source, in both mixes.
    """
    by_source, compared = _differing_windows(a, b)
    names = dict.fromkeys([*a.sources, *b.sources])
    return MixDifference(
        same=a.manifest["root_digest"] == b.manifest["root_digest"],
        digests=tuple(value_differences(_digests(a), _digests(b))),
        recipe=tuple(value_differences(_recipe(a), _recipe(b))),
        windows_a=a.windows,
        windows_b=b.windows,
        compared_windows=compared,
        differing_windows=sum(by_source.values()),
        sources={name: _source(a, b, name, by_source.get(name, 0), max_ids) for name in names},
    )


def value_differences(a: Any, b: Any, name: str = "") -> Iterator[ValueDifference]:
    """Yield every place where two JSON values differ, by its dotted name. A list that has a `name` in its items is
    compared by these names."""
    a, b = _by_name(a), _by_name(b)
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            yield from value_differences(a.get(key), b.get(key), f"{name}.{key}" if name else str(key))
    elif a != b:
        yield ValueDifference(name, a, b)


def _by_name(value: Any) -> Any:
    is_named = isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value)
    return {item["name"]: item for item in value} if is_named else value


def _digests(mix: Mix) -> dict[str, Any]:
    manifest = mix.manifest
    return {
        "root_digest": manifest["root_digest"],
        "build_id": manifest["build_id"],
        "tokenizer": manifest["tokenizer"]["digest"],
        "revision": {name: manifest["sources"][name]["revision"] for name in mix.sources},
    }


def _recipe(mix: Mix) -> dict[str, Any]:
    lists: Mapping[str, Any] = {
        f"{entry['kind']} {entry['file']}": {"sha256": entry["sha256"], "entries": entry["entries"]}
        for entry in mix.manifest.get("exclusions", [])
    }
    return {**mix.manifest["recipe"], **({"exclusions": lists} if lists else {})}


def _source(a: Mix, b: Mix, name: str, differing_windows: int, max_ids: int) -> SourceDifference:
    hashes = {"a": id_hashes(a, name), "b": id_hashes(b, name)}
    only_a, only_b = ~np.isin(hashes["a"], hashes["b"]), ~np.isin(hashes["b"], hashes["a"])
    return SourceDifference(
        share_a=_share(a, name),
        share_b=_share(b, name),
        documents_a=len(only_a),
        documents_b=len(only_b),
        n_only_a=int(only_a.sum()),
        n_only_b=int(only_b.sum()),
        only_a=_first_ids(a, name, only_a, max_ids),
        only_b=_first_ids(b, name, only_b, max_ids),
        differing_windows=differing_windows,
    )


def _share(mix: Mix, source: str) -> float:
    return mix.manifest["sources"][source]["share"] if source in mix.sources else 0.0


def id_hashes(mix: Mix, source: str) -> NDArray[np.uint64]:
    """The hashes of the ids of a source's documents, in the order of its tables: uint64, shape (documents,)."""
    tables = (table.column("id") for table, _ in _tables(mix, source, ["id"]))
    return np.concatenate([np.empty(0, np.uint64), *(hash_strings(ids.combine_chunks(), ID_SEED) for ids in tables)])


def _tables(mix: Mix, source: str, columns: list[str]) -> Iterator[tuple[pa.Table, bool]]:
    """The document tables of a source, and whether their documents are held out; none if the mix has no such source."""
    if source in mix.sources:
        for held_out in (False, True):
            for entry in table_entries(mix, source, held_out):
                yield mix.table(entry, columns), held_out


def _first_ids(mix: Mix, source: str, chosen: NDArray[np.bool_], n: int) -> tuple[str, ...]:
    """The ids of the first `n` of the chosen documents; tables after these are not read."""
    ids: list[str] = []
    start = 0
    rows = np.flatnonzero(chosen)[:n]
    for table, _ in _tables(mix, source, ["id"]) if len(rows) else ():
        here = rows[(rows >= start) & (rows < start + table.num_rows)] - start
        ids += table.column("id").take(pa.array(here)).to_pylist()
        start += table.num_rows
        if len(ids) == len(rows):
            break
    return tuple(ids)


def _differing_windows(a: Mix, b: Mix) -> tuple[dict[str, int], int]:
    """Windows of A that differ from the one at their position in B, by source; and how many positions both have."""
    if a.window != b.window:
        return {}, 0
    compared = min(a.windows, b.windows)
    counts = np.zeros(len(a.sources), np.int64)
    edges = sorted({*range(0, compared, WINDOWS_AT_ONCE), *a.shard_starts.tolist(), *b.shard_starts.tolist(), compared})
    for start, stop in pairwise(edge for edge in edges if edge <= compared):
        differs = (_windows(a, start, stop) != _windows(b, start, stop)).any(axis=1)
        shard, row = a.locate(start)
        entry = a.manifest["shards"][shard]
        name = entry["file"].removesuffix(".bin") + ".windows.npy"
        sources = a.array(name, SIDECAR, entry["windows"])["source"][row : row + stop - start]
        counts += np.bincount(sources[differs], minlength=len(counts))
    return dict(zip(a.sources, counts.tolist(), strict=True)), compared


def _windows(mix: Mix, start: int, stop: int) -> TokenIds:
    """Windows `start` to `stop` of the training order, which are in one shard."""
    shard, row = mix.locate(start)
    return mix.shard(shard)[row : row + stop - start]


def write_documents(a: Mix, b: Mix, path: AnyPath) -> int:
    """Write all documents that only one of two mixes has (DIFFERING) to a .csv or .parquet file; returns their number.

    Raises as `Mix.table`.
    """
    written = 0
    with atomic_write(path) as file, _writer(file, path.suffix) as writer:
        for name in dict.fromkeys([*a.sources, *b.sources]):
            hashes = id_hashes(a, name), id_hashes(b, name)
            parts = chain(_rows(a, name, "a", hashes[1]), _rows(b, name, "b", hashes[0]))
            for rows in parts:
                writer.write_table(rows)
                written += rows.num_rows
    return written


def _writer(file: IO[bytes], suffix: str) -> Any:
    if suffix == ".parquet":
        return pq.ParquetWriter(file, DIFFERING, compression="zstd")
    return pyarrow.csv.CSVWriter(file, DIFFERING)


def _rows(mix: Mix, source: str, side: Side, others: NDArray[np.uint64]) -> Iterator[pa.Table]:
    """The rows of a mix's documents whose ids are not among `others`."""
    for table, held_out in _tables(mix, source, ["id", "url", "tokens"]):
        hashes = hash_strings(table.column("id").combine_chunks(), ID_SEED)
        table = table.filter(pa.array(~np.isin(hashes, others)))
        if n := table.num_rows:
            columns = {
                "source": pa.array([source] * n),
                "document_id": table.column("id"),
                "url": table.column("url"),
                "only_in": pa.array([side] * n),
                "held_out": pa.array([held_out] * n),
                "tokens": table.column("tokens"),
            }
            yield pa.table(columns, schema=DIFFERING)

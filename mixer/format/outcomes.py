"""The outcome of every document that was read: kept, or the reason why it was dropped, by a hash of its id.

outcomes/SOURCE/00000.npy has a uint64 for each document of the source's first unit (in draw order), sorted:

    upper 48 bits   hash of the document's id
    lower 16 bits   outcome: its number in `outcome_names`

outcomes/SOURCE/00000.kept.npy has a row (KEPT) for each of these that is a duplicate, in the same order: the document
of the mix that it repeats. A unit without duplicates has no such file.

48 bits are enough: an id that the source does not have is taken for one of 20 million documents with a probability of
7e-8.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.format.manifest_types import FileEntry
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.dedup.signatures import REASONS as DUPLICATE_REASONS
from gpts_data.pipelines.errors import VerificationError
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.pipelines.text.hashing import hash_strings

CONTAMINATED = "contaminated"
OUTCOME_MASK = np.uint64((1 << 16) - 1)
ID_SEED = 0x5EED
"""Seed of the hash of an id. It also draws the documents for validation, so it is the same for every recipe."""
ROW = np.dtype("<u8")
KEPT = np.dtype([("source", "u1"), ("held_out", "?"), ("document", "<u4")])
"""A kept document: index of its source in the recipe, and its number among the source's training documents, or among
those that are held out for validation."""


@dataclass(frozen=True)
class OutcomeName:
    """What became of a document."""

    reason: str
    """`kept`, or the reason why it was dropped."""
    benchmark: str | None = None
    """For a contaminated document, the benchmark whose text it contains."""


def outcome_names(dropped: Mapping[str, int], benchmarks: Sequence[str]) -> list[OutcomeName]:
    """The outcomes of a source in the order of their numbers: kept, its reasons by name, contaminated by benchmark.

    dropped: the source's `dropped` in the manifest's waterfall. benchmarks: of the recipe, in its order.
    """
    contaminated = [OutcomeName(CONTAMINATED, benchmark) for benchmark in benchmarks]
    return [OutcomeName("kept"), *map(OutcomeName, sorted(dropped.keys() - {CONTAMINATED})), *contaminated]


def pack(hashes: NDArray[np.uint64], outcomes: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Rows of the table, in the order of the arguments: uint64, shape (documents,)."""
    return (hashes & ~OUTCOME_MASK) | outcomes.astype(np.uint64)


def outcome_numbers(rows: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The outcome of each row, as its number in `outcome_names`: int64, shape (rows,)."""
    return (np.asarray(rows) & OUTCOME_MASK).astype(np.int64)


@dataclass(frozen=True)
class DroppedDocument:
    """A row of the table: a document of this id was read and dropped."""

    source: str
    unit: str
    """Part of the source that it was read in."""
    outcome: OutcomeName
    kept: tuple[str, bool, int] | None
    """For a duplicate, the document that it repeats: source, whether that is held out, and its number (see KEPT)."""


def mix_outcomes(mix: Mix, source: str) -> list[OutcomeName]:
    """The outcomes of a source of a mix, in the order of their numbers."""
    table = mix.manifest["recipe"].get("decontaminate")
    benchmarks = [benchmark["name"] for benchmark in table["benchmark"]] if table else []
    return outcome_names(mix.manifest["waterfall"][source]["dropped"], benchmarks)


def outcome_files(mix: Mix, source: str) -> list[FileEntry]:
    """The manifest's entries of a source's tables, one per unit, in draw order."""
    folder = f"outcomes/{source}/"
    entries = [entry for entry in mix.manifest["files"] if entry["file"].startswith(folder) and "unit" in entry]
    return sorted(entries, key=lambda entry: (len(entry["file"]), entry["file"]))


def count_outcomes(mix: Mix, source: str) -> Counter[str]:
    """The number of documents of a source by outcome: `kept`, or the reason why they were dropped."""
    names = mix_outcomes(mix, source)
    counts = np.zeros(len(names), np.int64)
    for entry in outcome_files(mix, source):
        rows = _read(mix, entry["file"], names)
        counts += np.bincount(outcome_numbers(rows), minlength=len(names))
    by_reason: Counter[str] = Counter()
    for name, count in zip(names, counts.tolist(), strict=True):
        by_reason[name.reason] += count
    return +by_reason


def _read(mix: Mix, file: str, names: Sequence[OutcomeName]) -> NDArray[np.uint64]:
    """The rows of one table. Raises `VerificationError` when one has an outcome that the source does not have."""
    rows = mix.array(file, ROW)
    if (highest := int(outcome_numbers(rows).max(initial=0))) >= len(names):
        raise VerificationError(
            f"{mix.path / file}: found outcome {highest}, expected 0 to {len(names) - 1}; run gpts-data verify "
            f"{mix.path}"
        )
    return rows


def find_dropped(mix: Mix, document_id: str) -> Iterator[DroppedDocument]:
    """Every dropped document with this id, by source, then in canonical order."""
    for source in mix.sources:
        names, entries = mix_outcomes(mix, source), outcome_files(mix, source)
        read = partial(_read, mix, names=names)
        tables = read_all(read, [entry["file"] for entry in entries], mix.path)
        for entry, rows in zip(entries, tables, strict=True):
            yield from _dropped(mix, source, entry, names, rows, document_id)


def _dropped(
    mix: Mix,
    source: str,
    entry: FileEntry,
    names: Sequence[OutcomeName],
    rows: NDArray[np.uint64],
    document_id: str,
) -> Iterator[DroppedDocument]:
    """The dropped documents with this id in the table of one unit."""
    key = hash_strings(pa.array([document_id], pa.string()), ID_SEED)[0] & ~OUTCOME_MASK
    first, last = np.searchsorted(rows, key), np.searchsorted(rows, key | OUTCOME_MASK, side="right")
    if first == last:
        return
    numbers = outcome_numbers(rows[first:last]).tolist()
    duplicates = np.cumsum(is_duplicate(rows[:last], names))[first:].tolist()
    for number, n in zip(numbers, duplicates, strict=True):
        is_repeat = names[number].reason in DUPLICATE_REASONS
        if number:
            kept = _kept(mix, entry["file"], n - 1) if is_repeat else None
            yield DroppedDocument(source, entry["unit"], names[number], kept)


def _kept(mix: Mix, file: str, n: int) -> tuple[str, bool, int]:
    """The kept document of the n-th duplicate in a table. Raises `VerificationError` when the mix has no such one."""
    path = kept_path(mix.path / file)
    rows = mix.array(f"{file.removesuffix('.npy')}.kept.npy", KEPT)
    if n >= len(rows) or rows[n]["source"] >= len(mix.sources):
        raise VerificationError(f"{path}: no kept document for duplicate {n:,}; run gpts-data verify {mix.path}")
    source, held_out, document = rows[n].tolist()
    return mix.sources[source], bool(held_out), document


def kept_path(path: AnyPath) -> AnyPath:
    """The file of the kept documents that belongs to the table `path`."""
    return path.with_suffix(".kept.npy")


def is_duplicate(rows: NDArray[np.uint64], names: Sequence[OutcomeName]) -> NDArray[np.bool_]:
    """Whether each row is a duplicate: bool, shape (rows,)."""
    return np.array([name.reason in DUPLICATE_REASONS for name in names])[outcome_numbers(rows)]

"""Write the outcome of every document that was read, one table for each unit (format/outcomes.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.manifest_types import FileEntry, WaterfallEntry
from gpts_data.mixer.format.outcomes import (
    KEPT,
    OutcomeName,
    is_duplicate,
    kept_path,
    outcome_names,
    pack,
)
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON, OVER_BUDGET_REASON, DedupedUnit
from gpts_data.mixer.stages.dropped_ids import load_dropped
from gpts_data.mixer.stages.exclude import EXCLUDED_REASONS
from gpts_data.mixer.stages.pack_units import rows_in_stream_order
from gpts_data.mixer.stages.prepare import Prepare
from gpts_data.mixer.stages.unit_file import document_columns
from gpts_data.mixer.stages.unit_receipt import UnitReceipt
from gpts_data.pipelines.decontaminate.index import benchmark_numbers
from gpts_data.pipelines.dedup.greedy import (
    CONTAMINATED,
    FIRST_DUPLICATE,
    FIRST_EXCLUDED,
    HELD_OUT,
    OVER_BUDGET,
    TRAIN,
)
from gpts_data.pipelines.dedup.signatures import REASONS
from gpts_data.pipelines.storage.atomic_files import (
    ContentDigest,
    FileDigest,
    json_digest,
    uploads_together,
    write_npy,
)
from gpts_data.pipelines.storage.checksums import all_intact
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt


class OutcomeReceipt(TypedDict):
    """Receipt of the outcome tables of one unit."""

    key: str
    files: list[FileEntry]


PreparedUnits = Sequence[tuple[Prepare, UnitReceipt]]
"""The units of a source, with their receipts."""


def write_outcomes(
    plan: Plan,
    build_id: str,
    prepared: Sequence[PreparedUnits],
    deduped: Sequence[Sequence[DedupedUnit]],
    waterfall: dict[str, WaterfallEntry],
) -> list[FileEntry]:
    """Write `outcomes/` and return the manifest's entries of its files. A unit with a receipt is not written again.

    prepared, deduped: per source, in recipe order. Memory: 5 bytes for each document that passed the filters, and one
    unit.
    """
    config = plan.recipe.decontaminate
    owners = benchmark_numbers(plan.index) if plan.index else np.empty(0, np.uint32)
    benchmarks = [benchmark.name for benchmark in config.benchmark] if config else []
    kept = _KeptNumbers(deduped)
    work: list[Callable[[], list[FileEntry]]] = []
    for name, tasks, units in zip(plan.recipe.names, prepared, deduped, strict=True):
        names = outcome_names(waterfall[name]["dropped"], benchmarks)
        write = partial(_write_unit, plan.folder, names, owners, kept)
        folder, receipts = plan.folder / "outcomes" / name, plan.work / "outcomes" / name
        for n, (task, unit) in enumerate(zip(tasks, units, strict=True)):
            write_unit = partial(write, folder / f"{n:05d}.npy", *task, unit)
            key = json_digest([build_id, name, "outcomes", n])
            work.append(partial(_once, plan.folder, receipts / f"{n:05d}.json", key, write_unit))
    return list(chain.from_iterable(read_all(lambda write: write(), work, plan.folder)))


def _once(mix: AnyPath, receipt: AnyPath, key: str, write: Callable[[], list[FileEntry]]) -> list[FileEntry]:
    """The entries of a unit's tables, which are written unless they and their receipt are there."""

    def accepts(done: OutcomeReceipt) -> bool:
        return all_intact("outcomes", {mix / entry["file"]: _digest(entry) for entry in done["files"]})

    if done := accepted_receipt(receipt, key, OutcomeReceipt, accepts):
        return done["files"]
    with uploads_together(mix):
        files = write()
    return write_receipt(receipt, OutcomeReceipt(key=key, files=files))["files"]


def _digest(entry: FileEntry) -> FileDigest:
    return {"bytes": entry["bytes"], "sha256": entry["sha256"]}


def _write_unit(
    mix: AnyPath,
    names: list[OutcomeName],
    owners: NDArray[np.uint32],
    kept: _KeptNumbers,
    path: AnyPath,
    task: Prepare,
    receipt: UnitReceipt,
    unit: DedupedUnit,
) -> list[FileEntry]:
    numbers = {(name.reason, name.benchmark): number for number, name in enumerate(names)}
    dropped, reasons = load_dropped(task.dropped)
    by_reason = [numbers[reason, None] for reason in sorted(receipt["dropped"])]
    _, draws, _ = document_columns(unit.path)
    rows = np.concatenate(
        [
            pack(draws, _numbers_of_codes(unit, numbers, names, owners)),
            pack(dropped, np.array(by_reason, np.int64)[reasons]),
        ]
    )
    order = np.argsort(rows, kind="stable")
    entries = [_entry(mix, path, write_npy(path, rows[order].astype("<u8")))]
    entries[0]["unit"] = unit.name
    ordinals = np.zeros(len(rows), np.int64)
    ordinals[: len(unit.codes)][unit.codes >= FIRST_DUPLICATE] = unit.duplicate_of
    repeated = ordinals[order][is_duplicate(rows[order], names)]
    if len(repeated):
        entries.append(_entry(mix, kept_path(path), write_npy(kept_path(path), kept.rows(repeated))))
    return entries


def _numbers_of_codes(
    unit: DedupedUnit,
    numbers: dict[tuple[str, str | None], int],
    names: Sequence[OutcomeName],
    owners: NDArray[np.uint32],
) -> NDArray[np.int64]:
    """The outcome numbers of the documents of a unit file: int64, shape (documents,)."""
    by_code = np.zeros(FIRST_DUPLICATE + len(REASONS), np.int64)  # TRAIN and HELD_OUT stay 0, the outcome 'kept'
    by_code[OVER_BUDGET] = numbers.get((OVER_BUDGET_REASON, None), 0)
    by_code[FIRST_EXCLUDED:FIRST_DUPLICATE] = [numbers.get((reason, None), 0) for reason in EXCLUDED_REASONS]
    by_code[FIRST_DUPLICATE:] = [numbers.get((reason, None), 0) for reason in REASONS]
    outcomes: NDArray[np.int64] = by_code[unit.codes]
    first_benchmark = next((n for n, name in enumerate(names) if name.reason == CONTAMINATED_REASON), 0)
    outcomes[unit.codes == CONTAMINATED] = first_benchmark + owners[unit.matched_ngrams]
    return outcomes


def _entry(mix: AnyPath, path: AnyPath, digest: ContentDigest) -> FileEntry:
    entry: FileEntry = {
        "file": path.relative_to(str(mix)).as_posix(),
        "bytes": digest["bytes"],
        "sha256": digest["sha256"],
    }
    return {**entry, "content": digest["content"]}


class _KeptNumbers:
    """The number of each kept document among the training or held-out documents of its source."""

    def __init__(self, deduped: Sequence[Sequence[DedupedUnit]]) -> None:
        self._ends = np.cumsum([sum(len(unit.codes) for unit in units) for units in deduped])
        self._numbers = np.zeros(int(self._ends[-1]), np.uint32)
        self._held_out = np.zeros(int(self._ends[-1]), np.bool_)
        for units in deduped:
            for code in (TRAIN, HELD_OUT):
                for first, rows in _rows_of(units, code):
                    self._numbers[rows] = first + np.arange(len(rows))
                    self._held_out[rows] = code == HELD_OUT

    def rows(self, ordinals: NDArray[np.int64]) -> NDArray[np.void]:
        """The kept documents with these ordinals: KEPT, shape (ordinals,)."""
        rows = np.empty(len(ordinals), KEPT)
        rows["source"] = np.searchsorted(self._ends, ordinals, side="right")
        rows["held_out"], rows["document"] = self._held_out[ordinals], self._numbers[ordinals]
        return rows


def _rows_of(units: Sequence[DedupedUnit], code: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """For each unit: the number of the source's documents with this verdict before it, and the ordinals of its own."""
    before = 0
    for unit in units:
        rows = unit.first + rows_in_stream_order(unit, code)
        yield before, rows
        before += len(rows)

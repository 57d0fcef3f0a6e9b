"""OUTCOMES(unit): write what became of every document that was read, one table for each unit (format/outcomes.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.manifest_types import FileEntry
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
from gpts_data.mixer.stages.waterfall import waterfall
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
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import (
    ContentDigest,
    FileDigest,
    json_digest,
    uploads_together,
    write_npy,
)
from gpts_data.pipelines.storage.checksums import all_intact
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt


class OutcomeReceipt(TypedDict):
    """Receipt of the outcome tables of one unit."""

    key: str
    files: list[FileEntry]


@dataclass(frozen=True)
class UnitOutcomes:
    """One task: the outcome tables of a unit."""

    mix: AnyPath
    path: AnyPath
    """Path of the table that the task writes."""
    names: tuple[OutcomeName, ...]
    """The outcomes of the unit's source, in the order of their numbers."""
    dropped: AnyPath
    """File of the documents that the filters dropped (dropped_ids.py)."""
    reasons: tuple[str, ...]
    """Why the filters dropped documents of the unit, by name."""
    documents: int
    """Documents that were read in the unit."""
    unit: str
    """Name of the unit."""
    unit_file: AnyPath
    codes: NDArray[np.uint8]
    """Verdict on each document of the unit file: pipelines.dedup.greedy.TRAIN and so on."""
    benchmarks: NDArray[np.uint32]
    """For each contaminated document of the unit, in order, the number of the benchmark whose text it contains."""
    kept: NDArray[np.void]
    """For each duplicate of the unit, in order, the document that it repeats: KEPT."""
    receipt: AnyPath
    key: str

    @property
    def memory_bytes(self) -> int:
        """Memory for the rows of all documents: hashes, outcomes, order, and copies of these."""
        return 70 * self.documents

    def accepts(self, receipt: OutcomeReceipt) -> bool:
        """Return whether the files of an earlier run are as it wrote them."""
        return all_intact("outcomes", {self.mix / entry["file"]: _digest(entry) for entry in receipt["files"]})


PreparedUnits = Sequence[tuple[Prepare, UnitReceipt]]
"""The units of a source, with their receipts."""


def write_outcomes(
    plan: Plan,
    build_id: str,
    prepared: Sequence[PreparedUnits],
    deduped: Sequence[Sequence[DedupedUnit]],
    engine: Engine,
    progress: Progress,
) -> list[FileEntry]:
    """Write `outcomes/` and return the manifest's entries of its files. A unit with a receipt is not written again.

    prepared, deduped: per source, in recipe order. Memory in this process: 5 bytes for each document that passed the
    filters and 4 for each n-gram of a benchmark while the tasks are made, and 6 for each duplicate until they are done.
    """
    tasks = list(_tasks(plan, build_id, prepared, deduped))
    files: dict[str, list[FileEntry]] = {}  # by the key of the task, since they come in any order
    for receipt in engine.map(write_unit_outcomes, tasks):
        files[receipt["key"]] = receipt["files"]
        progress("outcomes", "", len(files), len(tasks))
    return [entry for task in tasks for entry in files[task.key]]


def _tasks(
    plan: Plan, build_id: str, prepared: Sequence[PreparedUnits], deduped: Sequence[Sequence[DedupedUnit]]
) -> Iterator[UnitOutcomes]:
    config = plan.recipe.decontaminate
    owners = benchmark_numbers(plan.index) if plan.index else np.empty(0, np.uint32)
    benchmarks = [benchmark.name for benchmark in config.benchmark] if config else []
    kept = _KeptNumbers(deduped)
    for name, tasks, units in zip(plan.recipe.names, prepared, deduped, strict=True):
        dropped = waterfall([receipt for _, receipt in tasks], units)["dropped"]
        names = tuple(outcome_names(dropped, benchmarks))
        for n, ((task, receipt), unit) in enumerate(zip(tasks, units, strict=True)):
            yield UnitOutcomes(
                mix=plan.folder,
                path=plan.folder / "outcomes" / name / f"{n:05d}.npy",
                names=names,
                dropped=task.dropped,
                reasons=tuple(sorted(receipt["dropped"])),
                documents=receipt["read"],
                unit=unit.name,
                unit_file=unit.path,
                codes=unit.codes,
                benchmarks=owners[unit.matched_ngrams],
                kept=kept.rows(unit.duplicate_of),
                receipt=plan.work / "outcomes" / name / f"{n:05d}.json",
                key=json_digest([build_id, name, "outcomes", n]),
            )


def _digest(entry: FileEntry) -> FileDigest:
    return {"bytes": entry["bytes"], "sha256": entry["sha256"]}


def write_unit_outcomes(task: UnitOutcomes) -> OutcomeReceipt:
    """Write the outcome tables of a unit, then the receipt."""
    if receipt := accepted_receipt(task.receipt, task.key, OutcomeReceipt, task.accepts):
        return receipt
    with uploads_together(task.mix):
        files = _write_tables(task)
    return write_receipt(task.receipt, OutcomeReceipt(key=task.key, files=files))


def _write_tables(task: UnitOutcomes) -> list[FileEntry]:
    numbers = {(name.reason, name.benchmark): number for number, name in enumerate(task.names)}
    dropped, reasons = load_dropped(task.dropped)
    by_reason = [numbers[reason, None] for reason in task.reasons]
    _, draws, _ = document_columns(task.unit_file)
    rows = np.concatenate(
        [
            pack(draws, _numbers_of_codes(task, numbers)),
            pack(dropped, np.array(by_reason, np.int64)[reasons]),
        ]
    )
    order = np.argsort(rows, kind="stable")
    entries = [_entry(task.mix, task.path, write_npy(task.path, rows[order].astype("<u8")))]
    entries[0]["unit"] = task.unit
    kept = np.zeros(len(rows), KEPT)
    kept[: len(task.codes)][task.codes >= FIRST_DUPLICATE] = task.kept
    repeated = kept[order][is_duplicate(rows[order], task.names)]
    if len(repeated):
        entries.append(_entry(task.mix, kept_path(task.path), write_npy(kept_path(task.path), repeated)))
    return entries


def _numbers_of_codes(task: UnitOutcomes, numbers: dict[tuple[str, str | None], int]) -> NDArray[np.int64]:
    """The outcome numbers of the documents of a unit file: int64, shape (documents,)."""
    by_code = np.zeros(FIRST_DUPLICATE + len(REASONS), np.int64)  # TRAIN and HELD_OUT stay 0, the outcome 'kept'
    by_code[OVER_BUDGET] = numbers.get((OVER_BUDGET_REASON, None), 0)
    by_code[FIRST_EXCLUDED:FIRST_DUPLICATE] = [numbers.get((reason, None), 0) for reason in EXCLUDED_REASONS]
    by_code[FIRST_DUPLICATE:] = [numbers.get((reason, None), 0) for reason in REASONS]
    outcomes: NDArray[np.int64] = by_code[task.codes]
    first_benchmark = next((n for n, name in enumerate(task.names) if name.reason == CONTAMINATED_REASON), 0)
    outcomes[task.codes == CONTAMINATED] = first_benchmark + task.benchmarks
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

    def rows(self, ordinals: NDArray[np.integer]) -> NDArray[np.void]:
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

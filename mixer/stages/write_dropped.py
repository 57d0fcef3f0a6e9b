"""Dropped documents for human eyes: of each source and reason a few, duplicates beside the document they repeat.

Which ones is decided by the hash of their names, the smallest first, so it does not depend on the workers. What filters
drop is noted in PREPARE; duplicates and contaminated documents are read back from the ids of their units.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON, DedupedUnit
from gpts_data.mixer.stages.dropped_samples import DroppedSamples, load_shown
from gpts_data.mixer.stages.prepare import Prepare, document_columns
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.dedup.greedy import EXCLUDED, FIRST_DUPLICATE
from gpts_data.pipelines.dedup.signatures import REASONS
from gpts_data.pipelines.storage.atomic_files import write_bytes
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import Encoder, get_encoder

JUDGED = {EXCLUDED: CONTAMINATED_REASON, **{FIRST_DUPLICATE + i: reason for i, reason in enumerate(REASONS)}}


def write_dropped(
    plan: Plan, tokenizer: Artifact, tasks: Sequence[Sequence[Prepare]], decided: Sequence[Sequence[DedupedUnit]]
) -> list[AnyPath]:
    """Write `dropped/<source>.jsonl` for each source, as far as the recipe wants it; returns the paths."""
    if not plan.recipe.keep_dropped:
        return []
    readers = _Readers(plan.recipe.names, decided, get_encoder(tokenizer.folder, tokenizer.digest))
    paths = []
    for name, units, prepared in zip(plan.recipe.names, decided, tasks, strict=True):
        shown = DroppedSamples(plan.recipe.keep_dropped)
        for task in prepared:
            for draw, row in load_shown(task.samples):
                shown.add(draw, row)
        for unit in units:
            for draw, row in _judged(unit, shown.most):
                shown.add(draw, row)
        rows = [_with_texts(row, readers) for _, row in shown.rows()]
        paths.append(plan.folder / "dropped" / f"{name}.jsonl")
        write_bytes(paths[-1], "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return paths


def _judged(unit: DedupedUnit, most: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Of each reason that dedup or decontamination had, the first few documents of a unit by their draw."""
    if not (unit.codes >= EXCLUDED).any():
        return
    _, draws, _ = document_columns(unit.path)
    twins = np.zeros(len(unit.codes), dtype=np.int64)
    twins[unit.codes >= FIRST_DUPLICATE] = unit.duplicate_of
    for code, reason in JUDGED.items():
        rows = np.flatnonzero(unit.codes == code)
        for row in rows[np.argsort(draws[rows], kind="stable")[:most]].tolist():
            twin = int(twins[row]) if code >= FIRST_DUPLICATE else None
            yield int(draws[row]), {"reason": reason, "ordinal": unit.first + row, "twin": twin}


def _with_texts(row: dict[str, Any], readers: _Readers) -> dict[str, Any]:
    if "ordinal" not in row:
        return row
    shown = {"reason": row["reason"], **readers.read(row["ordinal"])}
    return shown if row["twin"] is None else {**shown, "kept": readers.twin(row["twin"])}


class _Readers:
    """Reads documents back, with the names of their sources and units."""

    def __init__(self, names: Sequence[str], decided: Sequence[Sequence[DedupedUnit]], coder: Encoder) -> None:
        self._units = [(name, unit) for name, units in zip(names, decided, strict=True) for unit in units]
        self._texts = Texts(coder)
        for _, unit in self._units:
            self._texts.add(unit.path, unit.first)

    def twin(self, ordinal: int) -> dict[str, Any]:
        return {"source": self._units[self._texts.unit(ordinal)][0], **self.read(ordinal)}

    def read(self, ordinal: int) -> dict[str, Any]:
        row, unit = self._texts.row(ordinal), self._units[self._texts.unit(ordinal)][1]
        id, url = row.column("id")[0].as_py(), row.column("url")[0].as_py()
        return {"id": id, "url": url, "unit": unit.name, "text": DroppedSamples.cut(self._texts.text(ordinal))}

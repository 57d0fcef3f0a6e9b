"""Write examples of dropped documents, per source and reason; duplicates beside the document that they repeat.

The documents with the smallest hashes of their ids are taken, so the choice does not depend on the workers. PREPARE has
kept those that filters dropped; duplicates and contaminated documents are decoded from the token ids in their units.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON, DedupedUnit
from gpts_data.mixer.stages.dropped_samples import DroppedSamples, load_samples
from gpts_data.mixer.stages.prepare import Prepare, document_columns
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.dedup.greedy import EXCLUDED, FIRST_DUPLICATE
from gpts_data.pipelines.dedup.signatures import REASONS
from gpts_data.pipelines.storage.atomic_files import write_bytes
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import Encoder, get_encoder

REASON_OF_CODE = {EXCLUDED: CONTAMINATED_REASON, **{FIRST_DUPLICATE + i: reason for i, reason in enumerate(REASONS)}}


def write_dropped(
    plan: Plan, tokenizer: Artifact, tasks: Sequence[Sequence[Prepare]], deduped: Sequence[Sequence[DedupedUnit]]
) -> list[AnyPath]:
    """Write `dropped/<source>.jsonl` for each source if the recipe has `keep_dropped`; returns the paths."""
    if not plan.recipe.keep_dropped:
        return []
    readers = _Readers(plan.recipe.names, deduped, get_encoder(tokenizer.folder, tokenizer.digest))
    paths = []
    for name, units, prepared in zip(plan.recipe.names, deduped, tasks, strict=True):
        samples = DroppedSamples(plan.recipe.keep_dropped)
        for task in prepared:
            for draw, row in load_samples(task.samples):
                samples.add(draw, row)
        for unit in units:
            for draw, row in _dedup_samples(unit, samples.most):
                samples.add(draw, row)
        rows = [_with_texts(row, readers) for _, row in samples.rows()]
        paths.append(plan.folder / "dropped" / f"{name}.jsonl")
        write_bytes(paths[-1], "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    return paths


def _dedup_samples(unit: DedupedUnit, most: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The documents of a unit that dedup or decontamination dropped: per reason the `most` with the smallest draws."""
    if not (unit.codes >= EXCLUDED).any():
        return
    _, draws, _ = document_columns(unit.path)
    duplicate_of = np.zeros(len(unit.codes), dtype=np.int64)
    duplicate_of[unit.codes >= FIRST_DUPLICATE] = unit.duplicate_of
    for code, reason in REASON_OF_CODE.items():
        rows = np.flatnonzero(unit.codes == code)
        for row in rows[np.argsort(draws[rows], kind="stable")[:most]].tolist():
            kept = int(duplicate_of[row]) if code >= FIRST_DUPLICATE else None
            yield int(draws[row]), {"reason": reason, "ordinal": unit.first + row, "kept": kept}


def _with_texts(row: dict[str, Any], readers: _Readers) -> dict[str, Any]:
    """A row with its texts; PREPARE has stored them already, dedup has only ordinals."""
    if "ordinal" not in row:
        return row
    document = {"reason": row["reason"], **readers.read(row["ordinal"])}
    return document if row["kept"] is None else {**document, "kept": readers.read_with_source(row["kept"])}


class _Readers:
    """Reads documents from their units, with the names of their sources and units."""

    def __init__(self, names: Sequence[str], deduped: Sequence[Sequence[DedupedUnit]], encoder: Encoder) -> None:
        self._units = [(name, unit) for name, units in zip(names, deduped, strict=True) for unit in units]
        self._texts = Texts(encoder)
        for _, unit in self._units:
            self._texts.add(unit.path, unit.first)

    def read_with_source(self, ordinal: int) -> dict[str, Any]:
        return {"source": self._units[self._texts.unit(ordinal)][0], **self.read(ordinal)}

    def read(self, ordinal: int) -> dict[str, Any]:
        row, unit = self._texts.row(ordinal), self._units[self._texts.unit(ordinal)][1]
        id, url = row.column("id")[0].as_py(), row.column("url")[0].as_py()
        return {"id": id, "url": url, "unit": unit.name, "text": DroppedSamples.cut(self._texts.text(ordinal))}

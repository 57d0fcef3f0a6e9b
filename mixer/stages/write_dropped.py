"""Write examples of dropped documents, per source and reason; duplicates beside the document that they repeat.

The documents with the smallest hashes of their ids are taken, so the choice does not depend on the workers. PREPARE has
kept those that filters dropped; duplicates and contaminated documents are decoded from the token ids in their units.
Documents in a list of `[exclude]` are left out. A row says what decided: the filter's value and threshold with the
lines, or the benchmark and the words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON, DedupedUnit
from gpts_data.mixer.stages.dropped_samples import MEASURED, DroppedSamples, load_samples
from gpts_data.mixer.stages.exclude import Excluder
from gpts_data.mixer.stages.prepare import Prepare
from gpts_data.mixer.stages.similarity import similarity
from gpts_data.mixer.stages.unit_file import document_columns
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.decontaminate.index import NgramOrigin, origins
from gpts_data.pipelines.dedup.greedy import CONTAMINATED, FIRST_DUPLICATE
from gpts_data.pipelines.dedup.signatures import REASONS
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.filters.measure import measure
from gpts_data.pipelines.storage.atomic_files import FileDigest, digest_of, write_bytes
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import Encoder, get_encoder

REASON_OF_CODE = {
    CONTAMINATED: CONTAMINATED_REASON,
    **{FIRST_DUPLICATE + i: reason for i, reason in enumerate(REASONS)},
}


def write_dropped(
    plan: Plan, tokenizer: Artifact, tasks: Sequence[Sequence[Prepare]], deduped: Sequence[Sequence[DedupedUnit]]
) -> list[tuple[AnyPath, FileDigest]]:
    """Write `dropped/<source>.jsonl` for each source if the recipe has `keep_dropped`. Returns their digests."""
    if not plan.recipe.keep_dropped:
        return []
    readers = _Readers(plan, deduped, get_encoder(tokenizer.folder, tokenizer.digest))
    excluder, written = Excluder(plan.exclusions), []
    for source, units, prepared in zip(plan.recipe.source, deduped, tasks, strict=True):
        samples = DroppedSamples(plan.recipe.keep_dropped)
        for unit_samples in read_all(load_samples, [task.samples for task in prepared], plan.folder):
            for draw, row in excluder.without(unit_samples):
                samples.add(draw, row)
        for unit_samples in read_all(partial(_dedup_samples, most=samples.most), units, plan.folder):
            for draw, row in unit_samples:
                samples.add(draw, row)
        clean = plan.recipe.cleaning(source)
        rows = [_with_texts(row, readers, clean) for _, row in samples.rows()]
        path = plan.folder / "dropped" / f"{source.name}.jsonl"
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        write_bytes(path, content)
        written.append((path, digest_of(content)))
    return written


def _dedup_samples(unit: DedupedUnit, most: int) -> list[tuple[int, dict[str, Any]]]:
    """The documents of a unit that dedup or decontamination dropped: per reason the `most` with the smallest draws."""
    samples: list[tuple[int, dict[str, Any]]] = []
    if not np.isin(unit.codes, list(REASON_OF_CODE)).any():
        return samples
    _, draws, _ = document_columns(unit.path)
    cause = np.zeros(len(unit.codes), dtype=np.int64)
    cause[unit.codes >= FIRST_DUPLICATE] = unit.duplicate_of
    cause[unit.codes == CONTAMINATED] = unit.matched_ngrams
    for code, reason in REASON_OF_CODE.items():
        rows = np.flatnonzero(unit.codes == code)
        for row in rows[np.argsort(draws[rows], kind="stable")[:most]].tolist():
            key = "kept" if code >= FIRST_DUPLICATE else "ngram"
            sample = {"reason": reason, "ordinal": unit.first + row, key: int(cause[row])}
            samples.append((int(draws[row]), sample))
    return samples


def _with_texts(row: dict[str, Any], readers: _Readers, clean: CleanConfig) -> dict[str, Any]:
    """A row with its texts and what decided. PREPARE has stored the text already, dedup has only ordinals."""
    if "ordinal" not in row:
        return {**row, "text": DroppedSamples.cut(row["text"]), **_measured(row, clean)}
    document = {"reason": row["reason"], **readers.read(row["ordinal"])}
    if "kept" in row:
        similarity = readers.similarity(row["ordinal"], row["kept"]) if row["reason"] == REASONS[-1] else {}
        return {**document, "kept": readers.read_with_source(row["kept"]), **similarity}
    return {**document, **asdict(readers.origin(row["ngram"]))}


def _measured(row: dict[str, Any], clean: CleanConfig) -> dict[str, Any]:
    """What the filter measured in the text of a row, unless PREPARE kept only its beginning."""
    text = row["text"]
    measurement = measure(text, clean, row["reason"]) if len(text) <= MEASURED else None
    return {"detail": str(measurement), **asdict(measurement)} if measurement else {}


class _Readers:
    """Reads documents from their units, with the names of their sources and units, and the origins of n-grams."""

    def __init__(self, plan: Plan, deduped: Sequence[Sequence[DedupedUnit]], encoder: Encoder) -> None:
        self._units = [(name, unit) for name, units in zip(plan.recipe.names, deduped, strict=True) for unit in units]
        self._plan = plan
        self._texts = Texts(encoder)
        for _, unit in self._units:
            self._texts.add(unit.path, unit.first)

    def origin(self, ngram: int) -> NgramOrigin:
        """Where an n-gram of the benchmarks comes from."""
        assert self._plan.recipe.decontaminate is not None and self._plan.index is not None
        (origin,) = origins(self._plan.recipe.decontaminate, self._plan.index, [ngram])
        return origin

    def similarity(self, ordinal: int, kept: int) -> dict[str, Any]:
        """How similar two near-duplicates are, as `_measured` says it."""
        minhash = self._plan.recipe.dedup.minhash
        assert minhash is not None
        measurement = similarity(asdict(minhash), self._texts.text(ordinal), self._texts.text(kept))
        return {"detail": str(measurement), **asdict(measurement)}

    def read_with_source(self, ordinal: int) -> dict[str, Any]:
        return {"source": self._units[self._texts.unit(ordinal)][0], **self.read(ordinal)}

    def read(self, ordinal: int) -> dict[str, Any]:
        row, unit = self._texts.row(ordinal), self._units[self._texts.unit(ordinal)][1]
        id, url = row.column("id")[0].as_py(), row.column("url")[0].as_py()
        return {"id": id, "url": url, "unit": unit.name, "text": DroppedSamples.cut(self._texts.text(ordinal))}

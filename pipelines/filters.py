"""Cleaning: batches of documents in, the kept ones out, every dropped one counted under one reason.

The filters are datatrove's, by name, with their published thresholds; a reason is datatrove's slug. Where there is a
twin of the same verdicts (twins.py) it runs, else datatrove's own block. Whatever a filter does to a text (C4 removes
lines) is in the batch that comes out.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.hashes import blank, spans

FILTERS = {
    "gopher_repetition": "GopherRepetitionFilter",
    "gopher_quality": "GopherQualityFilter",
    "fineweb_quality": "FineWebQualityFilter",
    "c4": "C4QualityFilter",
}
TWINS = {
    "gopher_repetition": "FastGopherRepetition",
    "gopher_quality": "FastGopherQuality",
    "fineweb_quality": "FastFineWebQuality",
}
ENGINES = ("numba", "datatrove")
EMPTY = "empty_text"  # nothing but whitespace: the filters divide by its words
TOO_SHORT, TOO_LONG = "too_short", "too_long"
SLICE_BYTES = 500_000  # of text: its words, 32 bytes each, stay in the processor's cache from filter to filter
_NOT_THRESHOLDS = {"self", "exclusion_writer", "language", "batch_size"}


@dataclass(frozen=True)
class Clean:
    """The `[clean]` table: filters in the order they run, and thresholds per filter by datatrove's parameter names.

    `min_characters` and `max_characters` of a text hold before any filter; 0 is no limit. `engine = "datatrove"` runs
    datatrove's own blocks: the same verdicts, a hundred times slower.
    """

    filters: tuple[str, ...] = ()
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)
    min_characters: int = 0
    max_characters: int = 0
    engine: str = "numba"


def check_clean(clean: Clean) -> None:
    """Raise `RecipeError` for a filter, a threshold or an engine that does not exist."""
    for name in (*clean.filters, *clean.thresholds):
        if name not in FILTERS:
            raise RecipeError(f"clean: no filter is called {name!r}; expected one of {', '.join(FILTERS)}")
    for name, values in clean.thresholds.items():
        known = set(inspect.signature(_original(name).__init__).parameters) - _NOT_THRESHOLDS
        for key in values.keys() - known:
            raise RecipeError(
                f"clean.{name}: no threshold is called {key!r}; expected one of {', '.join(sorted(known))}"
            )
    if clean.engine not in ENGINES:
        raise RecipeError(f"clean.engine = {clean.engine!r}, expected one of {', '.join(ENGINES)}")
    if clean.min_characters < 0 or clean.max_characters < 0:
        raise RecipeError("clean: min_characters and max_characters must be 0 (no limit) or more")


@lru_cache(maxsize=8)
def cleaner(clean: Clean) -> Cleaner:
    """The cleaner of these settings, kept for the life of the process: loading spaCy's rules takes half a second."""
    return Cleaner(clean)


class Cleaner:
    """The filters in a row, built once per process and applied to batches."""

    def __init__(self, clean: Clean) -> None:
        self._clean = clean
        self._filters = [_filter(name, clean) for name in clean.filters]

    def clean(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
        """The kept rows of `batch` (first column `text`, others untouched) and the number dropped by reason."""
        reasons: Counter[str] = Counter()
        kept = [self._clean_slice(part, reasons) for part in _slices(batch)]
        return (pa.concat_batches(kept) if kept else batch), +reasons

    def _clean_slice(self, batch: pa.RecordBatch, reasons: Counter[str]) -> pa.RecordBatch:
        batch = _drop_blank(batch, reasons)
        batch = self._drop_by_length(batch, reasons)
        words = None
        for one in self._filters:
            if not batch.num_rows:
                break
            if getattr(one, "fast", False):
                from gpts_data.pipelines.wording import words_of

                words = words_of(batch.column("text")) if words is None else words
                codes = one.codes(batch.column("text"), words)
                reasons.update(one.reasons[code - 1] for code in codes[codes > 0].tolist())
                batch, words = batch.filter(pa.array(codes == 0)), words.take(codes == 0)
            else:
                batch, words = _drop_blank(_run(one, batch, reasons), reasons), None
        return batch

    def _drop_by_length(self, batch: pa.RecordBatch, reasons: Counter[str]) -> pa.RecordBatch:
        least, most = self._clean.min_characters, self._clean.max_characters
        if not (least or most) or not batch.num_rows:
            return batch
        length = pc.utf8_length(batch.column("text")).to_numpy(zero_copy_only=False)
        short, long = length < least, (length > most) if most else np.zeros(len(length), dtype=np.bool_)
        reasons.update({TOO_SHORT: int(short.sum()), TOO_LONG: int(long.sum())})
        return batch.filter(pa.array(~short & ~long))


def _slices(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """`batch` in runs of rows of about SLICE_BYTES of text."""
    if not batch.num_rows:
        return
    _, offsets = spans(batch.column("text"))
    starts = [0]
    while starts[-1] < batch.num_rows:
        end = int(np.searchsorted(offsets, offsets[starts[-1]] + SLICE_BYTES))
        starts.append(min(max(end, starts[-1] + 1), batch.num_rows))
        yield batch.slice(starts[-2], starts[-1] - starts[-2])


def _drop_blank(batch: pa.RecordBatch, reasons: Counter[str]) -> pa.RecordBatch:
    empty = blank(batch.column("text"))
    if not empty.any():
        return batch
    reasons[EMPTY] += int(empty.sum())
    return batch.filter(pa.array(~empty))


def _run(one: Any, batch: pa.RecordBatch, reasons: Counter[str]) -> pa.RecordBatch:
    """The rows that datatrove's own block keeps, with the texts it leaves."""
    from datatrove.data import Document

    texts = batch.column("text").to_pylist()
    one.exclusion_writer = _Drops(reasons)
    kept = list(one.run(Document(text=text, id="", metadata={"row": row}) for row, text in enumerate(texts)))
    rows = [document.metadata["row"] for document in kept]
    cleaned = batch.take(pa.array(rows, pa.int64()))
    if all(document.text is texts[row] for document, row in zip(kept, rows, strict=True)):
        return cleaned
    return cleaned.set_column(0, batch.schema.field(0), pa.array([d.text for d in kept], batch.schema.field(0).type))


class _Drops:
    """Stands where datatrove expects a writer of excluded documents, and counts them."""

    def __init__(self, reasons: Counter[str]) -> None:
        self.reasons = reasons

    def __enter__(self) -> _Drops:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, document: Any, rank: int = 0) -> None:
        self.reasons[document.metadata.get("filter_reason", "filtered")] += 1


def _filter(name: str, clean: Clean) -> Any:
    """The twin of a filter if it knows these thresholds, else datatrove's own block."""
    thresholds = clean.thresholds.get(name, {})
    if clean.engine == "numba" and name in TWINS:
        from gpts_data.pipelines import twins

        twin = getattr(twins, TWINS[name])(**thresholds)
        if twin.fast:
            return twin
    from gpts_data.pipelines.words import SteadyWords

    return _original(name)(language=SteadyWords(), **thresholds)


def _original(name: str) -> Any:
    from datatrove.pipeline import filters

    return getattr(filters, FILTERS[name])

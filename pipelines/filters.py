"""Cleaning: batches of documents in, the kept ones out, every dropped one counted under one reason.

The filters are datatrove's own, by name, with their published thresholds; a reason is datatrove's slug. Whatever a
filter does to a text (C4 removes lines) is in the batch that comes out.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from gpts_data.pipelines.errors import RecipeError

if TYPE_CHECKING:
    from datatrove.data import Document

FILTERS = {
    "gopher_repetition": "GopherRepetitionFilter",
    "gopher_quality": "GopherQualityFilter",
    "fineweb_quality": "FineWebQualityFilter",
    "c4": "C4QualityFilter",
}
EMPTY = "empty_text"  # null or nothing but whitespace: the filters divide by its words
_NOT_THRESHOLDS = {"self", "exclusion_writer", "language", "batch_size"}


@dataclass(frozen=True)
class Clean:
    """The `[clean]` table: filters in the order they run, and thresholds per filter by datatrove's parameter names."""

    filters: tuple[str, ...] = ()
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)


def check_clean(clean: Clean) -> None:
    """Raise `RecipeError` for a filter or a threshold that datatrove does not have."""
    for name in (*clean.filters, *clean.thresholds):
        if name not in FILTERS:
            raise RecipeError(f"clean: no filter is called {name!r}; expected one of {', '.join(FILTERS)}")
    for name, values in clean.thresholds.items():
        known = set(inspect.signature(_filter_class(name).__init__).parameters) - _NOT_THRESHOLDS
        for key in values.keys() - known:
            raise RecipeError(
                f"clean.{name}: no threshold is called {key!r}; expected one of {', '.join(sorted(known))}"
            )


@lru_cache(maxsize=8)
def cleaner(clean: Clean) -> Cleaner:
    """The cleaner of these settings, kept for the life of the process: loading spaCy's rules takes half a second."""
    return Cleaner(clean)


class Cleaner:
    """datatrove's filters in a row, built once per process and applied to batches."""

    def __init__(self, clean: Clean) -> None:
        from gpts_data.pipelines.words import ChunkWords

        self._drops = _Drops()
        words = ChunkWords()
        self._steps = [
            _filter_class(name)(exclusion_writer=self._drops, language=words, **clean.thresholds.get(name, {}))
            for name in clean.filters
        ]

    def clean(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
        """The kept rows of `batch` (first column `text`, others untouched) and the number dropped by reason."""
        from datatrove.data import Document

        texts = batch.column("text").to_pylist()
        self._drops.reasons = Counter()
        documents = self._full(Document(text=text, id="", metadata={"row": row}) for row, text in enumerate(texts))
        for step in self._steps:
            documents = self._full(step.run(documents))
        kept = list(documents)
        rows = pa.array([document.metadata["row"] for document in kept], pa.int64())
        cleaned = batch.take(rows)
        if any(document.text is not texts[document.metadata["row"]] for document in kept):
            cleaned = cleaned.set_column(0, "text", pa.array([document.text for document in kept], pa.string()))
        return cleaned, self._drops.reasons

    def _full(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Those that have text; C4 may leave none."""
        for document in documents:
            if document.text and not document.text.isspace():
                yield document
            else:
                self._drops.reasons[EMPTY] += 1


class _Drops:
    """Stands where datatrove expects a writer of excluded documents, and counts them."""

    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()

    def __enter__(self) -> _Drops:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, document: Any, rank: int = 0) -> None:
        self.reasons[document.metadata.get("filter_reason", "filtered")] += 1


def _filter_class(name: str) -> Any:
    from datatrove.pipeline import filters

    return getattr(filters, FILTERS[name])

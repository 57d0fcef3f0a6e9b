"""Cleaning: batches of documents in, the kept ones out, every dropped one counted under one reason.

The filters are datatrove's, by name, with their published thresholds; a reason is datatrove's slug. Where there is a
twin of the same verdicts (fast_filters.py) it runs, else datatrove's own block. Whatever a filter does to a text (C4
removes lines) is in the batch that comes out.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.text.hashing import is_blank, string_buffers

FILTERS = {
    "gopher_repetition": "GopherRepetitionFilter",
    "gopher_quality": "GopherQualityFilter",
    "fineweb_quality": "FineWebQualityFilter",
    "c4": "C4QualityFilter",
}
FAST_FILTERS = {
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
class CleanConfig:
    """The `[clean]` table, and `[source.clean]`, which stands in its place for one source."""

    filters: tuple[str, ...] = ()
    """In the order they run: `gopher_repetition`, `gopher_quality`, `fineweb_quality`, `c4`, datatrove's."""
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)
    """In the recipe a table by each filter's name, of datatrove's names: `gopher_quality = { min_doc_words = 30 }`."""
    min_characters: int = 0
    """Of a text, before any filter; 0 is no limit."""
    max_characters: int = 0
    """The same."""
    engine: str = "numba"
    """`datatrove` runs datatrove's own blocks: the same verdicts, a hundred times slower."""


def check_clean(clean: CleanConfig) -> None:
    """Raise `RecipeError` for a filter, a threshold or an engine that does not exist."""
    for name in (*clean.filters, *clean.thresholds):
        if name not in FILTERS:
            raise RecipeError(f"clean: no filter is called {name!r}; expected one of {', '.join(FILTERS)}")
    for name, values in clean.thresholds.items():
        known = inspect.signature(_original(name).__init__).parameters
        for key, value in values.items():
            if key in _NOT_THRESHOLDS or key not in known:
                names = ", ".join(sorted(set(known) - _NOT_THRESHOLDS))
                raise RecipeError(f"clean.{name}: no threshold is called {key!r}; expected one of {names}")
            if expected := _mismatch(known[key].default, value):
                raise RecipeError(f"clean.{name}.{key} = {value!r}, expected {expected}")
    if clean.engine not in ENGINES:
        raise RecipeError(f"clean.engine = {clean.engine!r}, expected one of {', '.join(ENGINES)}")
    if clean.min_characters < 0 or clean.max_characters < 0:
        raise RecipeError("clean: min_characters and max_characters must be 0 (no limit) or more")


def _mismatch(default: Any, value: Any) -> str | None:
    """What a threshold should be, seen from its default, if `value` is not that."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        return None if number else "a number; 0 switches it off"
    if isinstance(default, tuple):  # sizes of n-grams, each with its limit
        return None if isinstance(value, list) and all(map(_is_limit, value)) else "pairs such as [[2, 0.2], [3, 0.18]]"
    strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if strings else 'a list of strings such as ["the", "of"]'


def _is_limit(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or any(isinstance(number, bool) for number in pair):
        return False
    return isinstance(pair[0], int) and pair[0] >= 1 and isinstance(pair[1], int | float)


@lru_cache(maxsize=8)
def get_cleaner(clean: CleanConfig) -> Cleaner:
    """The cleaner of these settings, kept for the life of the process: datatrove alone takes 0.2 s to import."""
    return Cleaner(clean)


class Cleaner:
    """The filters in a row, built once per process and applied to batches."""

    def __init__(self, clean: CleanConfig) -> None:
        self._clean = clean
        self._filters = [_filter(name, clean) for name in clean.filters]

    def clean(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.StringArray]:
        """The kept rows of `batch` (first column `text`, others untouched), and for each row of `batch` the reason why
        it was dropped, null for a kept one."""
        reasons = np.full(batch.num_rows, None, dtype=object)
        kept = [
            self._clean_slice(_LiveRows(batch.slice(start, n), reasons[start : start + n])) for start, n in _runs(batch)
        ]
        return (pa.concat_batches(kept) if kept else batch), pa.array(reasons, pa.string())

    def _clean_slice(self, rows: _LiveRows) -> pa.RecordBatch:
        rows.drop(is_blank(rows.texts), EMPTY)
        self._drop_by_length(rows)
        words = None
        for one in self._filters:
            if not rows.batch.num_rows:
                break
            if getattr(one, "fast", False):
                from gpts_data.pipelines.words.word_arrays import split_words

                words = split_words(rows.texts) if words is None else words
                codes = one.judge(rows.texts, words)
                rows.drop(codes > 0, [one.reasons[code - 1] for code in codes[codes > 0].tolist()])
                words = words.take(codes == 0)
            else:
                _run(one, rows)
                rows.drop(is_blank(rows.texts), EMPTY)
                words = None
        return rows.batch

    def _drop_by_length(self, rows: _LiveRows) -> None:
        least, most = self._clean.min_characters, self._clean.max_characters
        if least:
            rows.drop(pc.utf8_length(rows.texts).to_numpy(zero_copy_only=False) < least, TOO_SHORT)
        if most:
            rows.drop(pc.utf8_length(rows.texts).to_numpy(zero_copy_only=False) > most, TOO_LONG)


class _LiveRows:
    """The rows of a slice that are still there, and the reasons of those that are not."""

    def __init__(self, batch: pa.RecordBatch, reasons: NDArray[np.object_]) -> None:
        self.batch = batch
        self._reasons = reasons
        self._places = np.arange(batch.num_rows)

    @property
    def texts(self) -> pa.Array:
        return self.batch.column("text")

    def drop(self, dropped: NDArray[np.bool_], reasons: str | list[str]) -> None:
        """Take the dropped rows out for one reason, or for one each."""
        if dropped.any():
            self._reasons[self._places[dropped]] = reasons
            self._places = self._places[~dropped]
            self.batch = self.batch.filter(pa.array(~dropped))


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
    """Start and number of rows with about SLICE_BYTES of text together."""
    start, (_, offsets) = 0, string_buffers(batch.column("text"))
    while start < batch.num_rows:
        stop = int(np.searchsorted(offsets, offsets[start] + SLICE_BYTES))
        stop = min(max(stop, start + 1), batch.num_rows)
        yield start, stop - start
        start = stop


def _run(one: Any, rows: _LiveRows) -> None:
    """Put the rows through datatrove's own block, and take the texts that it leaves."""
    from datatrove.data import Document

    texts = rows.texts.to_pylist()
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    one.exclusion_writer = _ReasonRecorder()
    kept = list(one.run(iter(documents)))
    if any(document.text is not texts[int(document.id)] for document in kept):
        column = pa.array([document.text for document in documents], rows.texts.type)
        rows.batch = rows.batch.set_column(0, rows.batch.schema.field(0), column)
    dropped = np.ones(len(texts), dtype=np.bool_)
    dropped[[int(document.id) for document in kept]] = False
    rows.drop(dropped, [one.exclusion_writer.reasons[row] for row in dropped.nonzero()[0].tolist()])


class _ReasonRecorder:
    """Stands where datatrove expects a writer of excluded documents, and keeps their reasons by row."""

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}

    def __enter__(self) -> _ReasonRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, document: Any, rank: int = 0) -> None:
        self.reasons[int(document.id)] = document.metadata.get("filter_reason", "filtered")


def _filter(name: str, clean: CleanConfig) -> Any:
    """The twin of a filter if it knows these thresholds, else datatrove's own block."""
    lists = clean.thresholds.get(name, {})  # as TOML and JSON have them; `str.endswith` wants a tuple
    thresholds = {key: tuple(value) if isinstance(value, list) else value for key, value in lists.items()}
    if clean.engine == "numba" and name in FAST_FILTERS:
        from gpts_data.pipelines.filters import fast_filters

        twin = getattr(fast_filters, FAST_FILTERS[name])(**thresholds)
        if twin.fast:
            return twin
    from gpts_data.pipelines.words.datatrove_tokenizer import SteadyWords

    return _original(name)(language=SteadyWords(), **thresholds)


def _original(name: str) -> Any:
    from datatrove.pipeline import filters

    return getattr(filters, FILTERS[name])

"""Cleaning: applies quality filters to batches of documents and gives one reason for every document it drops.

The filters are datatrove's, by name, with their published thresholds; a reason is datatrove's name for it. A fast
filter with the same verdicts (fast_filters.py) runs where there is one, otherwise datatrove's own filter. Changes that
a filter makes to a text (C4 removes lines) are kept.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.suggestion import suggest
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
EMPTY = "empty_text"  # only whitespace; the filters would divide by its number of words
TOO_SHORT, TOO_LONG = "too_short", "too_long"
SLICE_BYTES = 500_000  # bytes of text whose words (32 bytes each) stay in the CPU's cache from one filter to the next
_NOT_THRESHOLDS = {"self", "exclusion_writer", "language", "batch_size"}


@dataclass(frozen=True)
class CleanConfig:
    """The `[clean]` table of a recipe, and `[source.clean]`, which replaces it for one source."""

    filters: tuple[str, ...] = ()
    """Filters of datatrove in the order they run: `gopher_repetition`, `gopher_quality`, `fineweb_quality`, `c4`."""
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict, hash=False)
    """Thresholds by datatrove's names, in a table named after the filter: `gopher_quality = { min_doc_words = 30 }`."""
    min_characters: int = 0
    """Documents with fewer characters are dropped before any filter runs; 0 is no limit."""
    max_characters: int = 0
    """Documents with more characters are dropped before any filter runs; 0 is no limit."""
    engine: str = "numba"
    """`numba` runs the fast filters; `datatrove` runs datatrove's own, with the same verdicts, 200 times slower."""


def check_clean(clean: CleanConfig) -> None:
    """Raise `RecipeError` for an unknown filter, threshold or engine, or a value of the wrong type."""
    for name in (*clean.filters, *clean.thresholds):
        if name not in FILTERS:
            raise RecipeError(f"clean: no filter is called {name!r}; {suggest(name, FILTERS)}")
    for name, values in clean.thresholds.items():
        known = inspect.signature(_datatrove_filter(name).__init__).parameters
        for key, value in values.items():
            if key in _NOT_THRESHOLDS or key not in known:
                names = sorted(set(known) - _NOT_THRESHOLDS)
                raise RecipeError(f"clean.{name}: no threshold is called {key!r}; {suggest(key, names)}")
            if expected := _mismatch(known[key].default, value):
                raise RecipeError(f"clean.{name}.{key} = {value!r}, expected {expected}")
    if clean.engine not in ENGINES:
        raise RecipeError(f"clean.engine = {clean.engine!r}, expected one of {', '.join(ENGINES)}")
    for name in clean.filters:
        if clean.engine == "datatrove":
            _require_spacy('engine = "datatrove"')
        elif name not in FAST_FILTERS:
            _require_spacy(f"the filter {name}")
    if clean.min_characters < 0 or clean.max_characters < 0:
        raise RecipeError("clean: min_characters and max_characters must be 0 (no limit) or more")


def _require_spacy(what: str) -> None:
    """Raise `RecipeError` unless spaCy is installed, which splits the words of datatrove's own filters."""
    if find_spec("spacy") is None:
        raise RecipeError(f"clean: {what} needs spaCy, which is not installed: pip install 'gpts-data[datatrove]'")


def _mismatch(default: Any, value: Any) -> str | None:
    """Return what a threshold with this default should be if `value` is something else, otherwise None."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, bool):
        return None if isinstance(value, bool) else "true or false"
    if isinstance(default, int | float):
        return None if number else "a number; 0 switches it off"
    if isinstance(default, tuple):  # sizes of n-grams, each with a limit
        return None if isinstance(value, list) and all(map(_is_limit, value)) else "pairs such as [[2, 0.2], [3, 0.18]]"
    strings = isinstance(value, list) and all(isinstance(item, str) for item in value)
    return None if strings else 'a list of strings such as ["the", "of"]'


def _is_limit(pair: Any) -> bool:
    if not isinstance(pair, list) or len(pair) != 2 or any(isinstance(number, bool) for number in pair):
        return False
    return isinstance(pair[0], int) and pair[0] >= 1 and isinstance(pair[1], int | float)


@lru_cache(maxsize=8)
def get_cleaner(clean: CleanConfig) -> Cleaner:
    """Return the cleaner of these settings, cached in the process: importing datatrove alone takes 0.2 s."""
    return Cleaner(clean)


class Cleaner:
    """Applies the filters of a `CleanConfig` one after the other to batches of documents."""

    def __init__(self, clean: CleanConfig) -> None:
        self._clean = clean
        self._filters = [_build_filter(name, clean) for name in clean.filters]

    def clean(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.StringArray]:
        """Return the kept rows of `batch`, and for each row of `batch` the reason why it was dropped, null if kept.

        The first column of `batch` must be `text`; the other columns are not changed.
        """
        reasons = np.full(batch.num_rows, None, dtype=object)
        kept = [
            self._clean_slice(_LiveRows(batch.slice(start, n), reasons[start : start + n]))
            for start, n in _slices(batch)
        ]
        return (pa.concat_batches(kept) if kept else batch), pa.array(reasons, pa.string())

    def _clean_slice(self, rows: _LiveRows) -> pa.RecordBatch:
        rows.drop(is_blank(rows.texts), EMPTY)
        self._drop_by_length(rows)
        words = None
        for filter_ in self._filters:
            if not rows.batch.num_rows:
                break
            if getattr(filter_, "fast", False):
                from gpts_data.pipelines.words.word_arrays import split_words

                words = split_words(rows.texts) if words is None else words
                codes = filter_.judge(rows.texts, words)
                rows.drop(codes > 0, [filter_.reasons[code - 1] for code in codes[codes > 0].tolist()])
                words = words.take(codes == 0)
            else:
                _run_datatrove(filter_, rows)
                rows.drop(is_blank(rows.texts), EMPTY)
                words = None
        return rows.batch

    def _drop_by_length(self, rows: _LiveRows) -> None:
        minimum, maximum = self._clean.min_characters, self._clean.max_characters
        if minimum:
            rows.drop(pc.utf8_length(rows.texts).to_numpy(zero_copy_only=False) < minimum, TOO_SHORT)
        if maximum:
            rows.drop(pc.utf8_length(rows.texts).to_numpy(zero_copy_only=False) > maximum, TOO_LONG)


class _LiveRows:
    """The rows of a slice that no filter dropped yet, and the reasons of the dropped ones."""

    def __init__(self, batch: pa.RecordBatch, reasons: NDArray[np.object_]) -> None:
        self.batch = batch
        self._reasons = reasons
        self._indices = np.arange(batch.num_rows)

    @property
    def texts(self) -> pa.Array:
        return self.batch.column("text")

    def drop(self, dropped: NDArray[np.bool_], reasons: str | list[str]) -> None:
        """Drop rows, for one reason or for one each."""
        if dropped.any():
            self._reasons[self._indices[dropped]] = reasons
            self._indices = self._indices[~dropped]
            self.batch = self.batch.filter(pa.array(~dropped))


def _slices(batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
    """Yield start and number of rows of slices with about SLICE_BYTES of text each."""
    start, (_, offsets) = 0, string_buffers(batch.column("text"))
    while start < batch.num_rows:
        stop = int(np.searchsorted(offsets, offsets[start] + SLICE_BYTES))
        stop = min(max(stop, start + 1), batch.num_rows)
        yield start, stop - start
        start = stop


def _run_datatrove(filter_: Any, rows: _LiveRows) -> None:
    """Apply one of datatrove's own filters to the rows, and keep its changes to their texts."""
    from datatrove.data import Document

    texts = rows.texts.to_pylist()
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    filter_.exclusion_writer = _ReasonRecorder()
    kept = list(filter_.run(iter(documents)))
    if any(document.text is not texts[int(document.id)] for document in kept):
        column = pa.array([document.text for document in documents], rows.texts.type)
        rows.batch = rows.batch.set_column(0, rows.batch.schema.field(0), column)
    dropped = np.ones(len(texts), dtype=np.bool_)
    dropped[[int(document.id) for document in kept]] = False
    rows.drop(dropped, [filter_.exclusion_writer.reasons[row] for row in dropped.nonzero()[0].tolist()])


class _ReasonRecorder:
    """Takes the place of datatrove's writer of excluded documents, and keeps their reasons by row."""

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}

    def __enter__(self) -> _ReasonRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, document: Any, rank: int = 0) -> None:
        self.reasons[int(document.id)] = document.metadata.get("filter_reason", "filtered")


def _build_filter(name: str, clean: CleanConfig) -> Any:
    """Return the fast version of a filter if it implements these thresholds, otherwise datatrove's own filter."""
    thresholds = {  # TOML and JSON have lists, but datatrove passes `stop_chars` to `str.endswith`, which needs a tuple
        key: tuple(value) if isinstance(value, list) else value for key, value in clean.thresholds.get(name, {}).items()
    }
    if clean.engine == "numba" and name in FAST_FILTERS:
        if not thresholds:
            from gpts_data.pipelines.filters.judges import JUDGES

            return JUDGES[name]()
        from gpts_data.pipelines.filters import fast_filters

        fast_filter = getattr(fast_filters, FAST_FILTERS[name])(**thresholds)
        if fast_filter.fast:
            return fast_filter
    _require_spacy(f"the filter {name} with these thresholds")
    from gpts_data.pipelines.words.datatrove_tokenizer import SteadyWords

    return _datatrove_filter(name)(language=SteadyWords(), **thresholds)


def _datatrove_filter(name: str) -> Any:
    from datatrove.pipeline import filters

    return getattr(filters, FILTERS[name])

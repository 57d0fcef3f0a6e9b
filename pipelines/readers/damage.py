"""Faults: why a document cannot be used. The waterfall counts dropped documents under these names.

A faulty document is a row like any other, with its place and its fault but without text. Faults in DAMAGE do not occur
in an intact file; a source may lose at most `max_damaged` documents to them (by default none). Documents with other
faults are dropped as by any filter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

MAX_DOCUMENT_BYTES = 8_000_000  # of UTF-8, by default: longer than any book, short enough for memory

NULL = "null_text"
NUL = "nul_character"
OVERSIZED = "oversized_document"
LOW, HIGH = "low_", "high_"
"""How the faults of documents begin whose score is out of bounds; the name of its column follows."""

NOT_STRING = "text_not_string"
NOT_UTF8 = "invalid_utf8"
INVALID_ID = "invalid_id"
INVALID_URL = "invalid_url"
BROKEN_LINE = "broken_line"
BROKEN_ROW = "broken_row"
CUT_FRAME = "cut_frame"
DAMAGED_FRAME = "damaged_frame"
BOMB = "decompression_bomb"
DRIFT = "schema_drift"
DAMAGED_GROUP = "damaged_row_group"

DAMAGE = {
    NOT_STRING: "the text is not a string",
    NOT_UTF8: "not UTF-8",
    INVALID_ID: "the id is not UTF-8",
    INVALID_URL: "the URL is not UTF-8",
    BROKEN_LINE: "not a line with one JSON object",
    BROKEN_ROW: "not as many fields as the header, or a quote in the wrong place or never closed",
    CUT_FRAME: "the file ends inside a compressed frame; the rest is lost, fetch it again",
    DAMAGED_FRAME: "the compressed frame is damaged; the rest is lost, fetch it again",
    BOMB: "decompresses to more than a thousand times its size; the rest is not read",
    DRIFT: "no text column, or none of strings",
    DAMAGED_GROUP: "the pages of this row group do not decode",
}
"""The faults that count as damage, with their descriptions."""

SCHEMA = pa.schema([(name, pa.string()) for name in ("text", "id", "url", "place", "fault")])


@dataclass(frozen=True)
class ScoreBounds:
    """Which scores of its own a source accepts: `at_least <= score < below` in each column that is named."""

    at_least: Mapping[str, float] = field(default_factory=dict)
    below: Mapping[str, float] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the score columns, sorted."""
        return tuple(sorted({*self.at_least, *self.below}))

    @property
    def limits(self) -> list[tuple[str, float, bool]]:
        """Column, limit, and whether it is a minimum: all minimums by column, then all others.

        The first limit that a score breaks is the reason, and a TOML table has no order.
        """
        minimums = [(column, limit, True) for column, limit in sorted(self.at_least.items())]
        return minimums + [(column, limit, False) for column, limit in sorted(self.below.items())]


ANY_SCORE = ScoreBounds()


def score_columns(buckets: Sequence[ScoreBounds]) -> tuple[str, ...]:
    """The names of the score columns of all buckets, sorted."""
    return tuple(sorted({column for bounds in buckets for column in bounds.columns}))


def flag_faults(batch: pa.RecordBatch, max_document_bytes: int) -> pa.RecordBatch:
    """`batch` with a fault for each text that is null, too long or contains a NUL character. Its schema is SCHEMA."""
    text, fault = batch.column("text"), batch.column("fault")
    faults = pc.if_else(pc.and_(pc.is_null(text), pc.is_null(fault)), NULL, fault)
    faults = pc.if_else(pc.fill_null(pc.greater(pc.binary_length(text), max_document_bytes), False), OVERSIZED, faults)
    if has_nul(text):
        faults = pc.if_else(pc.fill_null(pc.match_substring(text, "\0"), False), NUL, faults)
    if faults.null_count == len(faults):
        return batch
    text = pc.if_else(pc.is_null(faults), text, pa.scalar(None, pa.string()))
    return batch.set_column(0, "text", text).set_column(4, "fault", faults.cast(pa.string()))


def flag_scores(batch: pa.RecordBatch, scores: Mapping[str, pa.Array], bounds: ScoreBounds) -> pa.RecordBatch:
    """`batch` with the fault of `score_fault` for each document whose score is out of bounds or not a number.

    scores: one number or string per row, by column.
    """
    faults = batch.column("fault")
    for column, limit, is_minimum in bounds.limits:
        values = scores[column]
        if pa.types.is_string(values.type):
            flags = [_limit_fault(column, score, limit, is_minimum) for score in values.to_pylist()]
            found = pa.array(flags, pa.string())
        else:
            within = (pc.greater_equal if is_minimum else pc.less)(values, limit)  # NaN is neither
            reason = _reason(column, is_minimum)
            found = pc.if_else(pc.fill_null(within, False), pa.scalar(None, pa.string()), reason)
        faults = pc.coalesce(faults, found)
    if faults.null_count == batch.column("fault").null_count:
        return batch
    text = pc.if_else(pc.is_null(faults), batch.column("text"), pa.scalar(None, pa.string()))
    return batch.set_column(0, "text", text).set_column(4, "fault", faults.cast(pa.string()))


def score_fault(scores: Mapping[str, Any], bounds: ScoreBounds) -> str | None:
    """The fault of a document with these scores by column; None when all are within their bounds.

    `low_<column>` for a score below `at_least`, `high_<column>` for one that is not below `below`,
    `<column>_not_a_number` for one that is not a number, or a string of one. NaN, blank and missing scores are out of
    any bound.
    """
    faults = (_limit_fault(column, scores[column], limit, is_min) for column, limit, is_min in bounds.limits)
    return next(filter(None, faults), None)


def _limit_fault(column: str, score: Any, limit: float, is_minimum: bool) -> str | None:
    if isinstance(score, str) and score.strip():
        try:
            score = float(score)
        except ValueError:
            return f"{column}_not_a_number"
    if score is None or isinstance(score, str):
        return _reason(column, is_minimum)
    if not isinstance(score, int | float):
        return f"{column}_not_a_number"
    return None if (score >= limit if is_minimum else score < limit) else _reason(column, is_minimum)


def _reason(column: str, is_minimum: bool) -> str:
    return f"{LOW if is_minimum else HIGH}{column}"


def has_nul(text: pa.StringArray) -> bool:
    """Whether any of the strings contains a zero byte. Scans their joint buffer, without a look at each string."""
    data = text.buffers()[2]
    if data is None or not len(text):
        return False
    offsets: NDArray[np.int32] = np.frombuffer(text.buffers()[1], np.int32)[text.offset : text.offset + len(text) + 1]
    return not np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]].all()


def damaged_places(batch: pa.RecordBatch) -> list[str]:
    """`place: fault` for each damaged document of a batch, in order."""
    fault = batch.column("fault")
    if fault.null_count == len(fault):
        return []
    bad = batch.filter(pc.is_in(fault, pa.array(list(DAMAGE))))
    return [f"{row['place']}: {row['fault']}" for row in bad.select(["place", "fault"]).to_pylist()]


def split_faulty(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Counter[str]]:
    """The rows without a fault, and the number of the others by fault."""
    fault = batch.column("fault")
    if fault.null_count == len(fault):
        return batch, Counter()
    return batch.filter(pc.is_null(fault)), Counter(fault.drop_null().to_pylist())

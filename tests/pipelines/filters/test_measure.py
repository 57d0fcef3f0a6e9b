"""The measured value of a rule breaks its threshold exactly where the filter drops the document for that rule."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner
from gpts_data.pipelines.filters.measure import MAX_LINES, measure, words_of
from gpts_data.pipelines.words.datatrove_tokenizer import SteadyWords
from tests.conftest import EXAMPLES
from tests.pipelines.filters.test_cleaner import TEXTS
from tests.pipelines.filters.test_fast_filters import TEXT

ALL = ("gopher_repetition", "gopher_quality", "fineweb_quality")


def reason_of(text: str, clean: CleanConfig) -> str | None:
    batch = pa.RecordBatch.from_pydict({"text": pa.array([text], pa.string())})
    reason: str | None = get_cleaner(clean).clean(batch)[1][0].as_py()
    return reason


def check(text: str, clean: CleanConfig) -> None:
    reason = reason_of(text, clean)
    if reason in (None, "empty_text"):
        return
    measurement = measure(text, clean, str(reason))
    assert measurement is not None and measurement.value is not None
    broken = (measurement.value < measurement.threshold, measurement.value > measurement.threshold)
    assert broken == (measurement.is_minimum, not measurement.is_minimum), (reason, measurement)
    assert len(measurement.lines) <= MAX_LINES
    parts = [re.sub(r"\s+", "", line.removesuffix(" [...]")) for line in measurement.lines]
    assert all(part in re.sub(r"\s+", "", text) for part in parts)


@settings(max_examples=max(EXAMPLES // 4, 1))  # each runs datatrove's filter beside ours
@given(text=TEXT, filter_=st.sampled_from(ALL), n=st.integers(0, 60), limit=st.sampled_from([0.02, 0.1, 0.3, 0.6]))
def test_a_dropped_document_breaks_the_threshold_that_is_named(text: str, filter_: str, n: int, limit: float) -> None:
    quality: dict[str, Any] = {"min_doc_words": n, "max_avg_word_length": 4, "max_symbol_word_ratio": limit}
    fineweb: dict[str, Any] = {"line_punct_thr": limit, "short_line_thr": 1 - limit, "new_line_ratio": limit}
    thresholds = {"gopher_quality": quality, "fineweb_quality": fineweb}
    check(text, CleanConfig((filter_,), thresholds))
    check(text, CleanConfig(ALL))


@pytest.mark.parametrize("text", TEXTS)
def test_odd_texts(text: str) -> None:
    check(text, CleanConfig(ALL, {"gopher_quality": {"min_doc_words": 2}}))


@given(TEXT)
def test_words_are_those_of_datatrove(text: str) -> None:
    assert words_of(text) == SteadyWords().word_tokenize(text)


def test_sentences_that_name_value_threshold_and_key() -> None:
    short = measure("Far too short.", CleanConfig(("gopher_quality",)), "gopher_short_doc")
    assert str(short) == "words: 3, expected at least 50 (gopher_quality.min_doc_words)"
    text = "One line.\n" * 9 + "and another"
    repeated = measure(text, CleanConfig(("gopher_repetition",)), "dup_line_frac")
    assert str(repeated) == "share of repeated lines: 0.8, expected at most 0.3 (gopher_repetition.dup_line_frac)"
    assert repeated is not None and repeated.lines == ("One line.",)
    long = measure("a" * 90, CleanConfig(max_characters=80), "too_long")
    assert str(long) == "characters: 90, expected at most 80 (max_characters)"
    assert measure("text", CleanConfig(), "null_text") is None


def test_lines_that_c4_removed_are_not_measured() -> None:
    sentence = "This line has a sentence that ends as it should. "
    text = "\n".join([sentence * 6, "no end here", "nor here", "or here"])
    clean = CleanConfig(("c4", "gopher_quality"), {"gopher_quality": {"min_doc_words": 61}})
    measurement = measure(text, clean, "gopher_short_doc")
    assert measurement is not None and measurement.value == 60

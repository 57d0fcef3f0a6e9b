"""Fast versions of datatrove's quality filters, with the same parameters, reasons and verdicts.

Each is a subclass of datatrove's filter and can take its place in a datatrove pipeline. It judges a batch of documents
at once with kernels (repetition_rules.py, quality_rules.py) over arrays of words (word_arrays.py). Settings that the
kernels do not implement, such as another language or a stop string of two characters, go through datatrove's own code.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datatrove.data import Document
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.utils.typeshelper import Languages
from numpy.typing import NDArray

from gpts_data.pipelines.filters.line_scan import new_table_size
from gpts_data.pipelines.filters.quality_rules import (
    FINEWEB_REASONS,
    GOPHER_REASONS,
    FineWebLimits,
    GopherLimits,
    judge_fineweb,
    judge_gopher,
)
from gpts_data.pipelines.filters.repetition_rules import RepetitionLimits, judge_repetition, repetition_scratch
from gpts_data.pipelines.text.char_classes import char_classes
from gpts_data.pipelines.text.hash_table import hash_set
from gpts_data.pipelines.text.hashing import string_buffers
from gpts_data.pipelines.text.rolling_hash import word_hash
from gpts_data.pipelines.words.word_arrays import WordArrays, split_words

BATCH_DOCUMENTS = 256


class FastFilter:
    """The base of the fast filters: verdicts of a batch as codes, and datatrove's batch interface on top of them."""

    language: str
    reasons: tuple[str, ...]

    @property
    def fast(self) -> bool:
        """Whether the kernels implement these settings."""
        return bool(self.language == Languages.english)

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        """Return for each text 0 to keep it, else 1 + the index of its reason in `reasons`: int64.

        `words` are those of `split_words(texts)`. No text may be blank.
        """
        raise NotImplementedError

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        """Judge a batch through datatrove's interface. Raises what datatrove raises for a text without words."""
        if not self.fast or any(not document.text or document.text.isspace() for document in batch):
            return [self.filter(document) for document in batch]  # type: ignore[attr-defined]
        texts = pa.array([document.text for document in batch], pa.large_string())
        return [(False, self.reasons[code - 1]) if code else True for code in self.judge(texts, split_words(texts))]


class FastGopherRepetition(FastFilter, GopherRepetitionFilter):  # type: ignore[misc]
    def __init__(self, *args: Any, **thresholds: Any) -> None:
        super().__init__(*args, **thresholds)
        self.batch_size = BATCH_DOCUMENTS

    @property
    def reasons(self) -> tuple[str, ...]:  # type: ignore[override]
        fixed = ("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac")
        top = (f"top_{n}_gram" for n, _ in self.top_n_grams)
        return (*fixed, *top, *(f"duplicated_{n}_n_grams" for n, _ in self.dup_n_grams))

    @cached_property
    def _limits(self) -> RepetitionLimits:
        fractions = [self.dup_para_frac, self.dup_para_char_frac, self.dup_line_frac, self.dup_line_char_frac]
        return RepetitionLimits(
            np.array([_upper_limit(limit) for limit in fractions]),
            *_sizes_and_limits(self.top_n_grams),
            *_sizes_and_limits(self.dup_n_grams),
        )

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        data, offsets = string_buffers(texts)
        characters = pc.utf8_length(texts).to_numpy().astype(np.int64)
        longest = max(int(words.counts.max(initial=1)), _count_newlines(data, offsets) + 2)
        codes = np.zeros(len(texts), np.int64)
        judge_repetition(data, offsets, characters, words, self._limits, repetition_scratch(longest), codes)
        return codes


class FastGopherQuality(FastFilter, GopherQualityFilter):  # type: ignore[misc]
    reasons = GOPHER_REASONS

    def __init__(self, *args: Any, **thresholds: Any) -> None:
        super().__init__(*args, **thresholds)
        self.batch_size = BATCH_DOCUMENTS

    @cached_property
    def _limits(self) -> GopherLimits:
        return GopherLimits(
            min_words=_lower_limit(self.min_doc_words),
            max_words=_upper_limit(self.max_doc_words),
            min_word_length=_lower_limit(self.min_avg_word_length),
            max_word_length=_upper_limit(self.max_avg_word_length),
            max_symbol_ratio=_upper_limit(self.max_symbol_word_ratio),
            max_bullet_ratio=_upper_limit(self.max_bullet_lines_ratio),
            max_ellipsis_ratio=_upper_limit(self.max_ellipsis_lines_ratio),
            min_alpha_ratio=_lower_limit(self.max_non_alpha_words_ratio),  # datatrove's name for a minimum
            min_stop_words=_lower_limit(self.min_stop_words),
        )

    @cached_property
    def _stop_words(self) -> NDArray[np.uint64]:
        return hash_set(word_hash(word) for word in self.stop_words)

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        data, offsets = string_buffers(texts)
        met, codes = np.zeros(len(self._stop_words), np.bool_), np.zeros(len(texts), np.int64)
        judge_gopher(data, offsets, char_classes(), words, self._limits, self._stop_words, met, codes)
        return codes


class FastFineWebQuality(FastFilter, FineWebQualityFilter):  # type: ignore[misc]
    reasons = FINEWEB_REASONS

    def __init__(self, *args: Any, **thresholds: Any) -> None:
        super().__init__(*args, **thresholds)
        self.batch_size = BATCH_DOCUMENTS

    @property
    def fast(self) -> bool:
        return super().fast and all(len(string) == 1 and string != "\n" for string in self.stop_chars)

    @cached_property
    def _stop_characters(self) -> NDArray[np.uint64]:
        return hash_set(ord(character) for character in self.stop_chars)

    @cached_property
    def _limits(self) -> FineWebLimits:
        return FineWebLimits(
            line_punct=float(self.line_punct_thr),
            exclude_zero=bool(self.line_punct_exclude_zero),
            short_line=float(self.short_line_threshold),
            short_length=int(self.short_line_length),
            char_dup=float(self.char_duplicates_ratio),
            new_line=float(self.new_line_ratio),
        )

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        data, offsets = string_buffers(texts)
        lines = np.zeros(new_table_size(_count_newlines(data, offsets) + 2), np.uint64)
        codes = np.zeros(len(texts), np.int64)
        judge_fineweb(data, offsets, words.counts, self._stop_characters, self._limits, lines, codes)
        return codes


def _count_newlines(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> int:
    """Count the newlines of all texts, of which no text has more."""
    return int(np.count_nonzero(data[offsets[0] : offsets[-1]] == ord("\n")))


def _upper_limit(limit: float | None) -> float:
    """Return inf for a limit that is off; datatrove switches a rule off with None or 0."""
    return float(limit) if limit else np.inf


def _lower_limit(limit: float | None) -> float:
    return float(limit) if limit else -np.inf


def _sizes_and_limits(limits: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.array([n for n, _ in limits], np.int64), np.array([limit for _, limit in limits], np.float64)

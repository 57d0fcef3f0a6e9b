"""Verdicts of datatrove's quality filters, from kernels, with datatrove's default thresholds.

A judge gives the verdicts of one filter on a batch of documents (repetition_rules.py, quality_rules.py) over arrays of
words (word_arrays.py). It does not import datatrove, which takes 0.25 s of processor time, as much as 8 MB of text:
with other thresholds than these its subclass in fast_filters.py is used, which is also a filter of datatrove.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
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
from gpts_data.pipelines.words.word_arrays import WordArrays

# datatrove's TERMINAL_PUNCTUATION: characters that end a sentence, of all scripts.
STOP_CHARACTERS = (
    "!.?\u0589\u061d\u061e\u061f\u06d4\u0700\u0701\u0702\u07f9\u0837\u0839\u083d\u083e\u0964\u0965\u104a\u104b"
    "\u1362\u1367\u1368\u166e\u1735\u1736\u17d4\u17d5\u17d6\u17d9\u17da\u1803\u1809\u1944\u1945\u1aa8\u1aa9\u1aaa"
    "\u1aab\u1b5a\u1b5b\u1b5e\u1b5f\u1b7d\u1b7e\u1c3b\u1c3c\u1c7e\u1c7f\u203c\u203d\u2047\u2048\u2049\u2e2e\u2e3c"
    "\u2e53\u2e54\u3002\ua4ff\ua60e\ua60f\ua6f3\ua6f7\ua876\ua877\ua8ce\ua8cf\ua92f\ua9c8\ua9c9\uaa5d\uaa5e\uaa5f"
    "\uaaf0\uaaf1\uabeb\ufe52\ufe56\ufe57\uff01\uff0e\uff1f\uff61\U00010a56\U00010a57\U00010f55\U00010f56"
    "\U00010f57\U00010f58\U00010f59\U00010f86\U00010f87\U00010f88\U00010f89\U00011047\U00011048\U000110be"
    "\U000110bf\U000110c0\U000110c1\U00011141\U00011142\U00011143\U000111c5\U000111c6\U000111cd\U000111de"
    "\U000111df\U00011238\U00011239\U0001123b\U0001123c\U000112a9\U0001144b\U0001144c\U000115c2\U000115c3"
    "\U000115c9\U000115ca\U000115cb\U000115cc\U000115cd\U000115ce\U000115cf\U000115d0\U000115d1\U000115d2"
    "\U000115d3\U000115d4\U000115d5\U000115d6\U000115d7\U00011641\U00011642\U0001173c\U0001173d\U0001173e"
    "\U00011944\U00011946\U00011a42\U00011a43\U00011a9b\U00011a9c\U00011c41\U00011c42\U00011ef7\U00011ef8"
    "\U00011f43\U00011f44\U00016a6e\U00016a6f\U00016af5\U00016b37\U00016b38\U00016b44\U00016e98\U0001bc9f"
    "\U0001da88"
)
ENGLISH = "eng"


class Judge:
    """Verdicts of one filter. The attributes that are not private are its thresholds, with datatrove's names."""

    language: str = ENGLISH
    reasons: tuple[str, ...]

    @property
    def fast(self) -> bool:
        """Return whether the kernels implement these settings."""
        return self.language == ENGLISH

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        """Return for each text 0 to keep it, else 1 + the index of its reason in `reasons`: int64.

        `words` are those of `split_words(texts)`. No text may be blank.
        """
        raise NotImplementedError


class RepetitionJudge(Judge):
    dup_line_frac: float | None = 0.3
    dup_para_frac: float | None = 0.3
    dup_line_char_frac: float | None = 0.2
    dup_para_char_frac: float | None = 0.2
    top_n_grams: Sequence[tuple[int, float]] = ((2, 0.2), (3, 0.18), (4, 0.16))
    dup_n_grams: Sequence[tuple[int, float]] = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))

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
        longest = max(int(words.counts.max(initial=1)), _count_newlines(data, offsets) + 2)
        codes = np.zeros(len(texts), np.int64)
        judge_repetition(data, offsets, words, self._limits, repetition_scratch(longest), codes)
        return codes


class GopherJudge(Judge):
    reasons = GOPHER_REASONS
    min_doc_words: int | None = 50
    max_doc_words: int | None = 100_000
    min_avg_word_length: float | None = 3
    max_avg_word_length: float | None = 10
    max_symbol_word_ratio: float | None = 0.1
    max_bullet_lines_ratio: float | None = 0.9
    max_ellipsis_lines_ratio: float | None = 0.3
    max_non_alpha_words_ratio: float | None = 0.8
    min_stop_words: int | None = 2
    stop_words: Collection[str] = frozenset(["the", "be", "to", "of", "and", "that", "have", "with"])

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


class FineWebJudge(Judge):
    reasons = FINEWEB_REASONS
    line_punct_thr: float = 0.12
    line_punct_exclude_zero: bool = False
    stop_chars: Collection[str] = tuple(STOP_CHARACTERS)
    short_line_threshold: float = 0.67
    short_line_length: int = 30
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3

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


JUDGES: dict[str, type[Judge]] = {
    "gopher_repetition": RepetitionJudge,
    "gopher_quality": GopherJudge,
    "fineweb_quality": FineWebJudge,
}


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

"""datatrove's quality filters with the same names of parameters, reasons and verdicts, a hundred times sooner.

Each is a subclass of datatrove's block, so it stands in a datatrove pipeline as that does; it judges a batch of
documents at once with kernels (repetition_rules.py, quality_rules.py) over arrays of words (word_arrays.py). What the
kernels do not know, another language or a stop string of two characters, goes through datatrove's own code.
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

from gpts_data.pipelines.filters.quality_rules import FINEWEB_REASONS, GOPHER_REASONS, judge_fineweb, judge_gopher
from gpts_data.pipelines.filters.repetition_rules import judge_repetition
from gpts_data.pipelines.text.char_classes import char_classes
from gpts_data.pipelines.text.hash_table import hash_set
from gpts_data.pipelines.text.hashing import StringBuffers, string_buffers
from gpts_data.pipelines.text.rolling_hash import word_hash
from gpts_data.pipelines.words.word_arrays import WordArrays, split_words

BATCH = 256  # documents


class FastFilter:
    """What the fast filters share: verdicts of a batch as codes, and datatrove's batch interface on top of them."""

    language: str
    reasons: tuple[str, ...]

    @property
    def fast(self) -> bool:
        """Whether the kernels know these settings."""
        return bool(self.language == Languages.english)

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        """Per text 0 to keep it, else the place of its reason in `reasons` and 1. A text is not blank."""
        raise NotImplementedError

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        """datatrove's interface. Raises what datatrove raises for a text without words."""
        if not self.fast or any(not document.text or document.text.isspace() for document in batch):
            return [self.filter(document) for document in batch]  # type: ignore[attr-defined]
        texts = pa.array([document.text for document in batch], pa.large_string())
        return [(False, self.reasons[code - 1]) if code else True for code in self.judge(texts, split_words(texts))]


class FastGopherRepetition(FastFilter, GopherRepetitionFilter):  # type: ignore[misc]
    def __init__(self, *args: Any, **thresholds: Any) -> None:
        super().__init__(*args, **thresholds)
        self.batch_size = BATCH

    @property
    def reasons(self) -> tuple[str, ...]:  # type: ignore[override]
        fixed = ("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac")
        top = (f"top_{n}_gram" for n, _ in self.top_n_grams)
        return (*fixed, *top, *(f"duplicated_{n}_n_grams" for n, _ in self.dup_n_grams))

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        fractions = [self.dup_para_frac, self.dup_para_char_frac, self.dup_line_frac, self.dup_line_char_frac]
        length = pc.utf8_length(texts).to_numpy().astype(np.int64)
        return judge_repetition(  # type: ignore[no-any-return]
            *string_buffers(texts),
            length,
            words.rows,
            words.starts,
            words.counts,
            np.array([_most(limit) for limit in fractions]),
            *_pairs(self.top_n_grams),
            *_pairs(self.dup_n_grams),
        )


class FastGopherQuality(FastFilter, GopherQualityFilter):  # type: ignore[misc]
    reasons = GOPHER_REASONS

    def __init__(self, *args: Any, **thresholds: Any) -> None:
        super().__init__(*args, **thresholds)
        self.batch_size = BATCH

    @cached_property
    def _limits(self) -> NDArray[np.float64]:
        symbols = _most(self.max_symbol_word_ratio)
        return np.array(
            [
                _least(self.min_doc_words),
                _most(self.max_doc_words),
                _least(self.min_avg_word_length),
                _most(self.max_avg_word_length),
                symbols,
                symbols,
                _most(self.max_bullet_lines_ratio),
                _most(self.max_ellipsis_lines_ratio),
                _least(self.max_non_alpha_words_ratio),
                _least(self.min_stop_words),
            ]
        )

    @cached_property
    def _stop_words(self) -> NDArray[np.uint64]:
        return hash_set(word_hash(word) for word in self.stop_words)

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        return judge_gopher(  # type: ignore[no-any-return]
            *string_buffers(texts),
            char_classes(),
            words.rows,
            words.starts,
            words.counts,
            self._limits,
            self._stop_words,
        )


class FastFineWebQuality(FastFilter, FineWebQualityFilter):  # type: ignore[misc]
    reasons = FINEWEB_REASONS

    def __init__(self, *args: Any, **thresholds: Any) -> None:
        super().__init__(*args, **thresholds)
        self.batch_size = BATCH

    @property
    def fast(self) -> bool:
        return super().fast and all(len(string) == 1 and string != "\n" for string in self.stop_chars)

    @cached_property
    def _stop_characters(self) -> NDArray[np.uint64]:
        return hash_set(ord(character) for character in self.stop_chars)

    def judge(self, texts: pa.Array, words: WordArrays) -> NDArray[np.int64]:
        batch: StringBuffers = string_buffers(texts)
        return judge_fineweb(  # type: ignore[no-any-return]
            *batch,
            words.counts,
            self._stop_characters,
            float(self.line_punct_thr),
            bool(self.line_punct_exclude_zero),
            float(self.short_line_threshold),
            int(self.short_line_length),
            float(self.char_duplicates_ratio),
            float(self.new_line_ratio),
        )


def _most(limit: float | None) -> float:
    """A ceiling; datatrove takes None and 0 for "off"."""
    return float(limit) if limit else np.inf


def _least(limit: float | None) -> float:
    return float(limit) if limit else -np.inf


def _pairs(limits: Any) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return np.array([n for n, _ in limits], np.int64), np.array([limit for _, limit in limits], np.float64)

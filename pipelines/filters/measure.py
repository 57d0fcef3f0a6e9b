"""What a filter measured in a document that it dropped: the value, the threshold, and the lines that decided.

The filters themselves only say which rule a document breaks. This computes the rule's value again, in Python and by
datatrove's formulas, for the few documents that somebody looks at.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from gpts_data.pipelines.filters.cleaner import FILTERS, TOO_LONG, TOO_SHORT, CleanConfig, get_cleaner
from gpts_data.pipelines.words.word_arrays import UNSAFE, split_words
from gpts_data.pipelines.words.word_rows import LENGTH

MAX_LINES = 5  # that are shown
LINE_CHARACTERS = 200  # of a line that are shown
ELLIPSES = ("...", "…")
BULLETS = ("•", "-")


@dataclass(frozen=True)
class Measurement:
    """The value of a rule in one document."""

    what: str
    """What was measured, such as "words"."""
    value: float | None
    """The value in this document; None where only the threshold is known."""
    threshold: float
    """The limit of the recipe, which the value breaks."""
    key: str
    """The recipe's key of the threshold, below `[clean]` or the source."""
    is_minimum: bool = False
    """Whether values below the threshold are dropped, not those above it."""
    lines: tuple[str, ...] = ()
    """The first lines, paragraphs or n-grams that decided."""
    is_match: bool = False
    """Whether the threshold itself is dropped too, with the values above it: of a similarity, or a score's `below`."""

    def __str__(self) -> str:
        bound = "below" if self.is_match else "at least" if self.is_minimum else "at most"
        limit = f"{bound} {_number(self.threshold)} ({self.key})"
        if self.value is None:
            return f"{self.what}: expected {limit}"
        value = _number(self.value)  # rounded, unless it then looks like the threshold
        return f"{self.what}: {self.value if value == _number(self.threshold) else value}, expected {limit}"


def measure(text: str, clean: CleanConfig, reason: str) -> Measurement | None:
    """What the rule `reason` of these filters measures in `text`; None for a reason without a number."""
    if reason in (TOO_SHORT, TOO_LONG):
        short = reason == TOO_SHORT
        key = "min_characters" if short else "max_characters"
        return Measurement("characters", len(text), getattr(clean, key), key, short)
    name = filter_of(reason)
    if name not in clean.filters:
        return None
    text = _before(text, clean, name)
    rule = {"gopher_quality": _quality, "gopher_repetition": _repetition, "fineweb_quality": _fineweb, "c4": _c4}[name]
    measurement = rule(text, reason, thresholds_of(name, clean)) if text.strip() else None
    return measurement and replace(measurement, key=f"{name}.{measurement.key}", lines=_shown(measurement.lines))


def words_of(text: str) -> list[str]:
    """The words of a text as the filters see them: those of `split_words`, as strings."""
    text = text.replace(UNSAFE, "")
    arrays = split_words(pa.array([text], pa.large_string()))
    start, count = int(arrays.starts[0]), int(arrays.counts[0])
    lengths = np.diff(arrays.rows[start : start + count + 1, LENGTH].astype(np.int64))
    words, at = [], 0
    for length in lengths.tolist():
        while text[at].isspace():
            at += 1
        words.append(text[at : at + length])
        at += length
    return words


def filter_of(reason: str) -> str:
    """The filter that has a rule; "" for a reason of no filter."""
    if reason.startswith("gopher_"):
        return "gopher_quality"
    if re.fullmatch(r"dup_(line|para)(_char)?_frac|top_\d+_gram|duplicated_\d+_n_grams", reason):
        return "gopher_repetition"
    if reason in ("line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"):
        return "fineweb_quality"
    return "c4" if reason == "too_few_sentences" else ""


def thresholds_of(name: str, clean: CleanConfig) -> dict[str, Any]:
    """All thresholds of a filter: datatrove's defaults, replaced by those of the recipe."""
    from datatrove.pipeline import filters

    parameters = inspect.signature(getattr(filters, FILTERS[name]).__init__).parameters
    return {**{key: parameter.default for key, parameter in parameters.items()}, **clean.thresholds.get(name, {})}


def _before(text: str, clean: CleanConfig, name: str) -> str:
    """The text as this filter saw it: C4, if it ran before, had removed lines."""
    earlier = clean.filters[: clean.filters.index(name)]
    if "c4" not in earlier:
        return text
    batch = pa.RecordBatch.from_pydict({"text": pa.array([text], pa.string())})
    cleaned, _ = get_cleaner(replace(clean, filters=earlier)).clean(batch)
    return cleaned.column("text")[0].as_py() if cleaned.num_rows else ""


def _quality(text: str, reason: str, limits: dict[str, Any]) -> Measurement | None:
    from datatrove.utils.text import PUNCTUATION_SET

    words = words_of(text)
    lengths = [len(word) for word in words if any(character not in PUNCTUATION_SET for character in word)]
    mean = float(np.mean(lengths)) if lengths else 0.0
    if reason in ("gopher_short_doc", "gopher_long_doc"):
        short = reason == "gopher_short_doc"
        key = "min_doc_words" if short else "max_doc_words"
        return Measurement("words", len(lengths), limits[key], key, short)
    if reason in ("gopher_below_avg_threshold", "gopher_above_avg_threshold"):
        short = reason == "gopher_below_avg_threshold"
        key = "min_avg_word_length" if short else "max_avg_word_length"
        return Measurement("characters per word", mean, limits[key], key, short)
    if reason in ("gopher_too_many_hashes", "gopher_too_many_ellipsis"):
        symbols, what = (("#",), "#") if reason == "gopher_too_many_hashes" else (ELLIPSES, "ellipses")
        count = sum(text.count(symbol) for symbol in symbols)
        chosen = [line for line in text.splitlines() if any(symbol in line for symbol in symbols)]
        key = "max_symbol_word_ratio"
        return Measurement(f"{what} per word", count / len(words), limits[key], key, lines=tuple(chosen))
    if reason in ("gopher_too_many_bullets", "gopher_too_many_end_ellipsis"):
        lines, bullets = text.splitlines(), reason == "gopher_too_many_bullets"
        begins = [line for line in lines if line.lstrip().startswith(BULLETS)]
        chosen = begins if bullets else [line for line in lines if line.rstrip().endswith(ELLIPSES)]
        key = "max_bullet_lines_ratio" if bullets else "max_ellipsis_lines_ratio"
        what = f"share of lines that {'begin with a bullet' if bullets else 'end with an ellipsis'}"
        return Measurement(what, len(chosen) / len(lines), limits[key], key, lines=tuple(chosen))
    if reason == "gopher_below_alpha_threshold":
        share = sum(any(character.isalpha() for character in word) for word in words) / len(words)
        key, others = "max_non_alpha_words_ratio", [line for line in text.splitlines() if line.strip()]
        others = [line for line in others if not any(character.isalpha() for character in line)]
        return Measurement("share of words with a letter", share, limits[key], key, True, tuple(others))
    return _stop_words(words, limits) if reason == "gopher_enough_stop_words" else None


def _stop_words(words: Sequence[str], limits: dict[str, Any]) -> Measurement:
    from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS

    known = STOP_WORDS if limits["stop_words"] is None else limits["stop_words"]
    count = len(set(known) & set(words))
    return Measurement("different stop words", count, limits["min_stop_words"], "min_stop_words", True)


def _repetition(text: str, reason: str, limits: dict[str, Any]) -> Measurement | None:
    from datatrove.pipeline.filters.gopher_repetition_filter import find_all_duplicate, find_duplicates, get_n_grams

    if reason in limits:
        lines = reason.startswith("dup_line")
        pieces = re.split("\n+", text) if lines else re.split(r"\n{2,}", text.strip())
        count, characters = find_duplicates(pieces)
        what = f"repeated {'lines' if lines else 'paragraphs'}"
        by_count = Measurement(f"share of {what}", count / len(pieces), limits[reason], reason)
        by_length = Measurement(f"share of characters in {what}", characters / len(text), limits[reason], reason)
        return replace(by_length if "_char_" in reason else by_count, lines=_repeated(pieces))
    words, n = words_of(text), int(re.findall(r"\d+", reason)[0])
    if reason.startswith("top"):
        n_grams = get_n_grams(words, n)
        top = max(dict.fromkeys(n_grams), key=_counts(n_grams).__getitem__)
        share, key = len(top) * n_grams.count(top) / len(text), "top_n_grams"
        return Measurement(f"share of characters in the top {n}-gram", share, dict(limits[key])[n], key, lines=(top,))
    share, key = find_all_duplicate(words, n) / len(text), "dup_n_grams"
    what = f"share of characters in repeated {n}-grams"
    return Measurement(what, share, dict(limits[key])[n], key, lines=_repeated(get_n_grams(words, n)))


def _fineweb(text: str, reason: str, limits: dict[str, Any]) -> Measurement | None:
    from datatrove.pipeline.filters.gopher_repetition_filter import find_duplicates
    from datatrove.utils.text import TERMINAL_PUNCTUATION

    lines = [line for line in text.split("\n") if line.strip()]
    if reason == "line_punct_ratio":
        ends = tuple(TERMINAL_PUNCTUATION if limits["stop_chars"] is None else limits["stop_chars"])
        others = tuple(line for line in lines if not line.endswith(ends))
        what = "share of lines that end with punctuation"
        share = sum(line.endswith(ends) for line in lines) / len(lines)
        return Measurement(what, share, limits["line_punct_thr"], "line_punct_thr", True, others)
    if reason == "short_line_ratio":
        short = tuple(line for line in lines if len(line) <= limits["short_line_length"])
        what = f"share of lines with {limits['short_line_length']} characters or fewer"
        return Measurement(what, len(short) / len(lines), limits["short_line_thr"], "short_line_thr", lines=short)
    if reason == "char_dup_ratio":
        share, key = find_duplicates(lines)[1] / len(text.replace("\n", "")), "char_duplicates_ratio"
        return Measurement("share of characters in repeated lines", share, limits[key], key, lines=_repeated(lines))
    share = text.count("\n") / len(words_of(text))
    return Measurement("line breaks per word", share, limits["new_line_ratio"], "new_line_ratio")


def _c4(text: str, reason: str, limits: dict[str, Any]) -> Measurement | None:
    return Measurement("sentences left", None, limits["min_num_sentences"], "min_num_sentences", True)


def _counts(pieces: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for piece in pieces:
        counts[piece] = counts.get(piece, 0) + 1
    return counts


def _repeated(pieces: Iterable[str]) -> tuple[str, ...]:
    """The pieces that occur more than once, each once."""
    return tuple(piece for piece, count in _counts(pieces).items() if count > 1)


def _shown(lines: Iterable[str]) -> tuple[str, ...]:
    """The first MAX_LINES lines, cut to LINE_CHARACTERS characters."""
    cut = [line if len(line) <= LINE_CHARACTERS else f"{line[:LINE_CHARACTERS]} [...]" for line in lines]
    return tuple(cut[:MAX_LINES])


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"

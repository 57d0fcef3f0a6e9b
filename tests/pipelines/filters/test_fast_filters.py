"""The fast filters stand in a datatrove pipeline as datatrove's own do: same verdicts, reasons and statistics."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import pytest
from datatrove.data import Document
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.filters.fast_filters import FastFineWebQuality, FastGopherQuality, FastGopherRepetition
from gpts_data.pipelines.filters.judges import JUDGES
from gpts_data.pipelines.words.word_arrays import UNSAFE
from tests.pipelines.filters.test_cleaner import TEXTS

PAIRS = [
    (FastGopherRepetition, GopherRepetitionFilter),
    (FastGopherQuality, GopherQualityFilter),
    (FastFineWebQuality, FineWebQualityFilter),
]
WORDS = ["a", "b", "ab", "the", "to", "x-y", "…", "...", "-", "•", "#", "be.", "it's", "é!", "(so)", "7", "www.a.org"]
SEPARATORS = [*" " * 9, "\n", "\n", "\n\n", "\n \n", "\r\n", "\u2028", "\x1c", "\xa0", "  ", "...\n", "\n- "]
TEXT = st.builds(
    lambda seed, n, k: _text(random.Random(seed), n, k), st.integers(0, 2**32), st.integers(1, 120), st.integers(2, 17)
)
LIMIT = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8])


def _text(rng: random.Random, n: int, k: int) -> str:
    words = rng.sample(WORDS, k)
    text = "".join(rng.choice(words) + rng.choice(SEPARATORS) for _ in range(n))
    cut = rng.randrange(len(text))
    return rng.choice(["", "\n", " ", "\n\n"]) + text + rng.choice(["", text[:cut], "\n\n" + text[cut:]]) + "end"


def verdicts(filter_: Any, texts: list[str]) -> list[Any]:
    return [filter_.filter(Document(text=text, id="")) for text in texts]


def fast(filter_: Any, texts: list[str]) -> list[Any]:
    return list(filter_.filter_batch([Document(text=text, id="") for text in texts]))


@given(text=TEXT, limits=st.lists(LIMIT | st.none(), min_size=4, max_size=4), top=LIMIT, dup=LIMIT, data=st.data())
def test_repetition(text: str, limits: list[float | None], top: float, dup: float, data: st.DataObject) -> None:
    names = ("dup_line_frac", "dup_para_frac", "dup_line_char_frac", "dup_para_char_frac")
    sizes = data.draw(st.lists(st.integers(1, 6), max_size=4))
    settings: dict[str, Any] = dict(zip(names, limits, strict=True))
    settings["top_n_grams"] = [(n, top) for n in sizes]
    settings["dup_n_grams"] = [(n, dup) for n in data.draw(st.lists(st.integers(1, 9), max_size=5))]
    assert fast(FastGopherRepetition(**settings), [text]) == verdicts(GopherRepetitionFilter(**settings), [text])


@given(text=TEXT, limit=LIMIT, other=LIMIT, n=st.integers(0, 9))
def test_quality(text: str, limit: float, other: float, n: int) -> None:
    settings = {
        "min_doc_words": n,
        "max_symbol_word_ratio": limit,
        "max_bullet_lines_ratio": other,
        "min_avg_word_length": n % 4,
        "max_ellipsis_lines_ratio": limit,
        "max_non_alpha_words_ratio": other,
        "min_stop_words": n % 3,
        "max_avg_word_length": n,
        "stop_words": ["the", "to", "a", "x", "…"],
    }
    assert fast(FastGopherQuality(**settings), [text]) == verdicts(GopherQualityFilter(**settings), [text])


@given(text=TEXT, limit=LIMIT, other=LIMIT, n=st.integers(0, 30), exclude=st.booleans())
def test_fineweb(text: str, limit: float, other: float, n: int, exclude: bool) -> None:
    settings = {
        "line_punct_thr": limit,
        "line_punct_exclude_zero": exclude,
        "short_line_thr": other,
        "short_line_length": n,
        "char_duplicates_ratio": limit,
        "new_line_ratio": other,
    }
    assert fast(FastFineWebQuality(**settings), [text]) == verdicts(FineWebQualityFilter(**settings), [text])


@pytest.mark.parametrize(("fast_filter", "original"), PAIRS)
def test_they_forward_the_same_documents_with_the_same_statistics(fast_filter: Any, original: Any) -> None:
    texts = [text for text in TEXTS if UNSAFE not in text and not text.isspace()]
    documents = [Document(text=text, id=str(i)) for i, text in enumerate(texts)]
    steps = fast_filter(), original()
    forwarded = [[d.id for d in step.run(iter(documents))] for step in steps]
    assert forwarded[0] == forwarded[1]
    fast_stats, datatrove_stats = (
        {k: v.total for k, v in step.stats.stats.items() if k != "batches"} for step in steps
    )
    assert fast_stats == datatrove_stats


@pytest.mark.parametrize(("fast_filter", "original"), PAIRS)
def test_another_language_goes_through_datatroves_own_code(fast_filter: Any, original: Any) -> None:
    assert not fast_filter(language="fr").fast
    texts = ["", "l'eau " * 60]
    assert fast(fast_filter(language="fr"), texts) == verdicts(original(language="fr"), texts)


def test_stop_strings_of_two_characters_go_through_datatroves_own_code() -> None:
    assert not FastFineWebQuality(stop_chars=("?!",)).fast
    texts = ["What?!\nHow?!\nA line?!", "What?\nHow?\nA line!"]
    settings = {"stop_chars": ("?!",), "new_line_ratio": 1.0, "short_line_thr": 1.0}
    assert fast(FastFineWebQuality(**settings), texts) == verdicts(FineWebQualityFilter(**settings), texts)


def test_blank_lines_are_no_lines() -> None:
    """One of six lines ends with a period: 17% of them, but 9% if the five blank lines between them counted."""
    line = "this line of eight words has no end"
    text = "\n\n".join([f"{line}.", *[f"{line} {number}" for number in ("one", "two", "three", "four", "five")]])
    assert fast(FastFineWebQuality(), [text]) == verdicts(FineWebQualityFilter(), [text]) == [True]
    settings: dict[str, Any] = {"line_punct_thr": 0.18}
    assert fast(FastFineWebQuality(**settings), [text]) == verdicts(FineWebQualityFilter(**settings), [text])


@pytest.mark.parametrize(("judge", "filter_"), list(zip(JUDGES.values(), (pair[1] for pair in PAIRS), strict=True)))
def test_the_thresholds_of_a_judge_are_the_defaults_of_datatrove(judge: Any, filter_: Any) -> None:
    expected = vars(filter_())
    names = [name for cls in judge.__mro__ for name in getattr(cls, "__annotations__", {}) if name != "reasons"]
    assert len(names) > 6
    for name in names:
        value = getattr(judge, name)
        if isinstance(value, frozenset) or name == "stop_chars":
            value, expected[name] = set(value), set(expected[name])
        assert value == expected[name], name


def test_filters_with_default_thresholds_do_not_import_datatrove() -> None:
    code = (
        "import sys; from gpts_data.pipelines.filters.cleaner import CleanConfig, get_cleaner;"
        "get_cleaner(CleanConfig(('gopher_repetition', 'gopher_quality', 'fineweb_quality')));"
        "print('datatrove' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    said = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout
    assert said == "False\n"

"""Cleaning gives datatrove's own verdicts, and every document has one: kept, or dropped for one reason."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from datatrove.data import Document
from datatrove.pipeline import filters as datatrove
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.filters.cleaner import EMPTY, FILTERS, CleanConfig, Cleaner, check_clean, get_cleaner
from gpts_data.pipelines.words.datatrove_tokenizer import SteadyWords

FINEWEB = ("gopher_repetition", "gopher_quality", "fineweb_quality")
VOCABULARY = """
the be to of and that have with river small machine learned people under story light water because often never garden
children's don't winter teacher paper we're mountain simple answer question morning between history number language
music kitchen (perhaps) "quoted" well-known 1,200 3.5 e.g. Dr. U.S. https://example.org/a?b=1 naïve café
"""
WORDS = VOCABULARY.split()


def sentence(rng: random.Random, low: int = 5, high: int = 16, end: str = ".") -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(low, high))).capitalize() + end


def page(rng: random.Random, n_lines: int = 8, n_sentences: int = 3) -> list[str]:
    return [" ".join(sentence(rng) for _ in range(rng.randint(1, n_sentences))) for _ in range(n_lines)]


Defect = Callable[[random.Random, list[str]], list[str]]
DEFECTS: dict[str, Defect] = {
    "none": lambda rng, lines: lines,
    "short": lambda rng, lines: lines[:1],
    "bullets": lambda rng, lines: [rng.choice(("- ", "• ", "  -")) + line for line in lines],
    "repeated lines": lambda rng, lines: lines + rng.choices(lines, k=rng.randint(1, 6)),
    "repeated paragraphs": lambda rng, lines: "\n\n".join(lines + lines[:5]).split("\n"),
    "repeated phrase": lambda rng, lines: lines[:4] + ["such a long day " * 12],
    "repeated passage": lambda rng, lines: [f"{line} {lines[0]} {lines[1]}" for line in lines],
    "hashes": lambda rng, lines: [line.replace(" ", " #", rng.randint(1, 6)) for line in lines],
    "ellipses": lambda rng, lines: [line[:-1] + rng.choice(("...", "…")) for line in lines],
    "inner ellipses": lambda rng, lines: [line.replace(" ", " ... ") + "." for line in lines],
    "no punctuation": lambda rng, lines: [line.rstrip(".") for line in lines],
    "short lines": lambda rng, lines: [part for line in lines for part in line.split(". ")[0].split(" and ")],
    "a word a line": lambda rng, lines: " ".join(lines).split(),
    "digits": lambda rng, lines: [" ".join(str(rng.randint(0, 9999)) for _ in line.split()) + "." for line in lines],
    "short words": lambda rng, lines: [" ".join(word[:2] for word in line.split()) + "." for line in lines],
    "long words": lambda rng, lines: [line.replace(" ", "") + " " + line.replace(" ", "x", 5) for line in lines * 4],
    "no stop words": lambda rng, lines: [" ".join(w for w in line.split() if len(w) > 4) + "." for line in lines * 2],
    "javascript": lambda rng, lines: [line + rng.choice(("", " Enable JavaScript.")) for line in lines],
    "curly": lambda rng, lines: [*lines, "This is { odd }."],
    "lorem": lambda rng, lines: [*lines, "Then came Lorem ipsum dolor."],
    "policy": lambda rng, lines: [*lines, "We like the use of cookies here.", "See our privacy policy, please."],
    "citations": lambda rng, lines: [line[:-1] + "[12][citation needed]." for line in lines],
    "endless word": lambda rng, lines: [*lines, "a" * 1200 + " is a long word."],
    "whitespace": lambda rng, lines: [line.replace(" ", rng.choice("\xa0\u2003\u3000\u2028\t\x85")) for line in lines],
    "emoji": lambda rng, lines: [line.replace(" ", " 🙂 👩\u200d👧 ", 3) for line in lines],
    "IS_ALPHA": lambda rng, lines: [line.replace(" ", " IS_ALPHA ", 1) for line in lines],
    "windows": lambda rng, lines: [line + "\r" for line in lines],
}
HANDWRITTEN = [
    "a",
    ".",
    "...",
    "\u200b",
    "\ufeff",
    "\x00",
    "-",
    "•\n•\n•",
    "a\n" * 100,
    "word " * 500,
    "#" * 300,
    "🙂" * 100,
    "漢" * 500,
]


def varied(seed: int) -> list[str]:
    rng = random.Random(seed)
    return [
        "\n".join(defect(rng, page(rng, n_lines))) for n_lines in (2, 6, 12) for defect in DEFECTS.values()
    ] + HANDWRITTEN


TEXTS = varied(1)


def batch(texts: list[str | None]) -> pa.RecordBatch:
    rows = range(len(texts))
    return pa.RecordBatch.from_arrays([pa.array(texts, pa.string()), pa.array(rows, pa.int64())], names=["text", "row"])


def run(clean: CleanConfig, texts: list[str | None]) -> tuple[dict[int, str], Counter[str]]:
    """The kept texts by row, and the drops by reason."""
    kept, reasons = get_cleaner(clean).clean(batch(texts))
    assert kept.schema == batch([]).schema
    rows = kept.column("row").to_pylist()
    assert [row for row, reason in enumerate(reasons.to_pylist()) if reason is None] == rows
    return dict(zip(rows, kept.column("text").to_pylist(), strict=True)), Counter(reasons.drop_null().to_pylist())


def plainly(clean: CleanConfig, texts: list[str]) -> tuple[dict[int, str], Counter[str]]:
    """The same from datatrove's own filters, document by document.

    With datatrove's tokenizer as it is, the verdict on a text with "IS_ALPHA" would depend on the texts that this
    process tokenized before: see datatrove_tokenizer.py.
    """
    steps = [
        getattr(datatrove, FILTERS[name])(language=SteadyWords(), **clean.thresholds.get(name, {}))
        for name in clean.filters
    ]
    kept, reasons = {}, Counter[str]()
    for row, text in enumerate(texts):
        document = Document(text=text, id="")
        verdicts = (step.filter(document) for step in steps)
        reason = next((verdict[1] for verdict in verdicts if verdict is not True), None)
        if reason is None:
            kept[row] = document.text
        else:
            reasons[reason] += 1
    return kept, reasons


CLEANS = [CleanConfig((name,)) for name in FILTERS] + [CleanConfig(FINEWEB), CleanConfig(("c4", *FINEWEB))]


@pytest.mark.parametrize("clean", CLEANS, ids=lambda clean: "+".join(clean.filters))
def test_kept_texts_and_reasons_are_datatroves(clean: CleanConfig) -> None:
    kept, reasons = run(clean, list(TEXTS))
    assert (kept, reasons) == plainly(clean, TEXTS)
    assert len(kept) >= 5
    assert len(kept) + reasons.total() == len(TEXTS)


def test_the_texts_above_meet_many_reasons() -> None:
    found = {reason for clean in CLEANS[:4] for reason in run(clean, list(TEXTS))[1]}
    assert len(found) >= 20, sorted(found)


def test_a_document_has_the_same_verdict_in_any_batch() -> None:
    kept, reasons = run(CleanConfig(FINEWEB), list(TEXTS))
    halves = [run(CleanConfig(FINEWEB), list(part)) for part in (TEXTS[:31], TEXTS[31:])]
    assert halves[0][0] | {31 + row: text for row, text in halves[1][0].items()} == kept
    assert halves[0][1] + halves[1][1] == reasons


@pytest.mark.parametrize("clean", [CleanConfig(), *CLEANS], ids=lambda clean: "+".join(clean.filters) or "no filters")
def test_no_text_is_a_reason_of_its_own(clean: CleanConfig) -> None:
    empty = [None, "", " ", "\n\n", "\t\r\n", "\xa0\u2003", "\u2028\x85", "\x1c"]
    assert run(clean, list(empty)) == ({}, Counter({EMPTY: len(empty)}))


@given(st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=60), max_size=4))
def test_any_text_is_kept_or_dropped_for_one_reason(texts: list[str | None]) -> None:
    for clean in (CleanConfig(), CleanConfig(("c4", *FINEWEB))):
        kept, reasons = run(clean, texts)
        assert len(kept) + reasons.total() == len(texts)
        assert all(reasons.values())


def test_no_filters_keep_every_text_as_it_is() -> None:
    kept, reasons = run(CleanConfig(), list(TEXTS))
    assert kept == dict(enumerate(TEXTS))
    assert not reasons


def test_c4_changes_the_text_of_its_row_only() -> None:
    rng = random.Random(3)
    pages = [page(rng) for _ in range(3)]
    texts = ["\n".join(page) for page in pages]
    texts[1] = "\n".join(["Menu", *pages[1], "Turn on javascript to read this."])
    kept, reasons = run(CleanConfig(("c4",)), list(texts))
    assert kept == {row: "\n".join(page) for row, page in enumerate(pages)}
    assert not reasons


@pytest.mark.parametrize("then", [(), FINEWEB])
def test_a_text_that_c4_empties_is_dropped_as_empty(then: tuple[str, ...]) -> None:
    clean = CleanConfig(("c4", *then), {"c4": {"min_num_sentences": -1}})
    assert run(clean, ["no terminal mark\nnor here"]) == ({}, Counter({EMPTY: 1}))


@pytest.mark.parametrize(
    ("name", "threshold", "text", "reason"),
    [
        ("gopher_quality", {"min_doc_words": 9}, "The end of that and so on.", "gopher_short_doc"),
        ("gopher_quality", {"min_doc_words": 1, "max_doc_words": 5}, "The end of that and so on.", "gopher_long_doc"),
        ("gopher_quality", {"min_doc_words": 1, "max_avg_word_length": 2}, "The end.", "gopher_above_avg_threshold"),
        ("gopher_repetition", {"dup_line_frac": 0.1}, "one two\nthree\nfour\nfive and six\none two", "dup_line_frac"),
        ("fineweb_quality", {"line_punct_thr": 0.99}, "One line that ends.\nAnother does not", "line_punct_ratio"),
        ("c4", {"min_num_sentences": 3}, "One two three. Four five six.", "too_few_sentences"),
    ],
)
def test_thresholds_are_honoured(name: str, threshold: dict[str, Any], text: str, reason: str) -> None:
    clean = CleanConfig((name,), {name: threshold})
    check_clean(clean)
    assert run(clean, [text]) == ({}, Counter({reason: 1}))
    assert plainly(clean, [text]) == ({}, Counter({reason: 1}))


def test_lengths_are_counted_in_characters_before_any_filter() -> None:
    texts: list[str | None] = ["é" * 9, "é" * 10, "é" * 20, "é" * 21, " "]
    kept, reasons = run(CleanConfig(min_characters=10, max_characters=20), texts)
    assert (list(kept), reasons) == ([1, 2], Counter(too_short=1, too_long=1, empty_text=1))


def test_datatroves_engine_gives_the_same_verdicts() -> None:
    assert run(CleanConfig(FINEWEB, engine="datatrove"), list(TEXTS)) == run(CleanConfig(FINEWEB), list(TEXTS))


def test_a_threshold_lets_through_what_the_default_drops() -> None:
    lenient = {"min_doc_words": 2, "min_stop_words": 1}
    assert run(CleanConfig(("gopher_quality",)), ["The end."])[1] == Counter({"gopher_short_doc": 1})
    assert run(CleanConfig(("gopher_quality",), {"gopher_quality": lenient}), ["The end that is."])[0] == {
        0: "The end that is."
    }


def test_settings_that_differ_in_a_threshold_only_have_their_own_cleaner() -> None:
    one, other = (CleanConfig(("gopher_quality",), {"gopher_quality": {"min_doc_words": n}}) for n in (1, 2))
    assert get_cleaner(one) is not get_cleaner(other)
    assert isinstance(get_cleaner(one), Cleaner)
    assert get_cleaner(one) is get_cleaner(CleanConfig(one.filters, dict(one.thresholds)))


@pytest.mark.parametrize("clean", [CleanConfig(("gopher",)), CleanConfig((), {"gopher": {}})])
def test_an_unknown_filter_is_refused_with_the_one_that_is_meant(clean: CleanConfig) -> None:
    with pytest.raises(RecipeError, match=r"'gopher'; did you mean gopher_quality\?"):
        check_clean(clean)


@pytest.mark.parametrize("key", ["min_words", "language", "exclusion_writer", "self"])
def test_an_unknown_threshold_is_refused_with_those_there_are(key: str) -> None:
    with pytest.raises(
        RecipeError, match=rf"clean\.gopher_quality: .*'{key}'; (expected one of .*|did you mean )min_doc_words"
    ):
        check_clean(CleanConfig(("gopher_quality",), {"gopher_quality": {key: 1}}))


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("gopher_quality", "min_doc_words", "many", "a number"),
        ("gopher_quality", "min_doc_words", True, "a number"),
        ("gopher_quality", "stop_words", "the", "a list of strings"),
        ("gopher_repetition", "dup_line_frac", [0.1], "a number"),
        ("gopher_repetition", "top_n_grams", 3, "pairs such as"),
        ("gopher_repetition", "top_n_grams", [[2, "0.2"]], "pairs such as"),
        ("gopher_repetition", "dup_n_grams", [[0, 0.2]], "pairs such as"),
        ("gopher_repetition", "dup_n_grams", [5], "pairs such as"),
        ("fineweb_quality", "stop_chars", ".", "a list of strings"),
        ("fineweb_quality", "line_punct_exclude_zero", 1, "true or false"),
    ],
)
def test_a_threshold_of_the_wrong_kind_is_refused(name: str, key: str, value: Any, expected: str) -> None:
    with pytest.raises(RecipeError, match=rf"clean\.{name}\.{key} = .*, expected {expected}"):
        check_clean(CleanConfig((name,), {name: {key: value}}))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gopher_repetition", {"top_n_grams": [[2, 0.05]], "dup_n_grams": [[5, 0.01], [3, 1]]}),
        ("gopher_repetition", {"top_n_grams": [], "dup_n_grams": []}),
        ("gopher_quality", {"stop_words": ["river", "water", "often"], "min_doc_words": 3}),
        ("gopher_quality", {"stop_words": []}),
        ("fineweb_quality", {"stop_chars": ["r", "."]}),
        ("fineweb_quality", {"stop_chars": ["en.", "r."], "line_punct_thr": 0.3}),
    ],
)
def test_thresholds_as_toml_has_them(name: str, values: dict[str, Any]) -> None:
    clean = CleanConfig((name,), {name: values})
    check_clean(clean)
    assert run(clean, list(TEXTS)) == run(CleanConfig((name,), {name: values}, engine="datatrove"), list(TEXTS))


@pytest.mark.parametrize(
    ("clean", "what"),
    [
        (CleanConfig(filters=("gopher_quality",), engine="datatrove"), 'engine = "datatrove"'),
        (CleanConfig(filters=("fineweb_quality", "c4")), "the filter c4"),
    ],
)
def test_datatroves_own_filters_without_spacy(clean: CleanConfig, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpts_data.pipelines.filters.cleaner.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match=f"clean: {what} needs spaCy, .* pip install 'gpts-data\\[datatrove\\]'"):
        check_clean(clean)
    check_clean(CleanConfig(filters=("gopher_repetition", "gopher_quality", "fineweb_quality")))

"""The words in the arrays are datatrove's own, and their hashes tell strings apart."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pyarrow as pa
import pytest
from datatrove.utils.text import PUNCTUATION_SET
from datatrove.utils.word_tokenizers import load_word_tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpts_data.pipelines import chunks, rules
from gpts_data.pipelines.characters import ALPHA, LETTERS, LINE_END, SOUND
from gpts_data.pipelines.marks import MAX_CHARACTERS
from gpts_data.pipelines.polynomial import word_hash
from gpts_data.pipelines.rules import END, spacy_rules
from gpts_data.pipelines.wording import KINDS, LENGTH, UNSAFE, Words, hash_run, words_of

AFFIXES = [*"([{\"'“‘”’*_#$<&,;:!?)]}.…—–%>=", ""]
SPACES = [*" \n\t\v\f\x1c\x1f\x85\xa0\u1680\u2009\u2028\u3000", "  ", "\r\n"]
CHUNKS = [
    "The", "end.", "don't", "can't've", "they’re", "cannot", "gonna", "U.S.A.", "e.g.", "10a.m.",
    "Dr.", "co-operate", "https://example.org/a?b=c#d", "me@example.org", "$1,000.00", "50%",
    "3.14", "“quoted”", "(see", "below).", "and/or", "naïve", "漢字かな交じり文", "Привет,", "🙂🙂",
    "👩\u200d👩\u200d👧", "é", "\u200b", "\ufeff", "---", "...", "…", "#tag", "a\u00adb", "'em", "x=y",
    "\x01", "a\x01", "a\x7f", "wo" * 40, "a-" * 20 + "b", "x" * 63, "x" * 64 + ".", "é" * 40 + "/b",
]  # fmt: skip
CORES = [
    "ox", "2005-11-17", "D", "o", "XD", "Mr", "He", "it", "am", "8", "10",
    "1,000", "3.5", "Ill", "cannot", "s", "US", "km", "H2O", "5km", "1990s", "SOX2abcde",
]  # fmt: skip
PROSE = st.lists(st.sampled_from(CHUNKS) | st.sampled_from(SPACES), max_size=30).map("".join)
ANY = st.text(st.characters(codec="utf-8"), max_size=40)
AFFIX = st.sampled_from([*AFFIXES, "", "", "/", "+", "-", "~", "@"])
CORE = st.lists(st.sampled_from(CORES), min_size=1, max_size=4).flatmap(
    lambda cores: st.sampled_from(["-", "--", "---", "–", "—"]).map(lambda hyphen: hyphen.join(cores))
)
ENDS = st.sampled_from(["", "", "'s", "’s", "'S"])
SHAPE = st.tuples(AFFIX, AFFIX, CORE, ENDS, AFFIX, AFFIX, AFFIX).map("".join)
PIECES = [
    *CORES, *AFFIXES, "..", "...", "……", "—", "——", "--", "---", "~", "+", "-", "*", "^", "/", "<", "§", "¬", "|", "`",
    "@", "s", "'s", "'S", "’s", "°", "°C", "K", "F", "km", "m/s", "km²", "µg", "кг", "€", "£", "US$", "C$", "A$", "S$",
    "₿", "0", "1", "23", "٣", "²", "a", "B", "é", "É", "ß", "я", "Я", "ω", "中", "あ", "가", "ª", "º", "©", "☃", "🙂",
    "\u0301", "http://", "https://", "é://", "a+b://", "www.", "org", "example.org", "a_b.co.uk", ".com", ":8080",
    ":123456", "?q=1", "#x", "me@", "10.0.0.1", "93.184.216.34", "x.Y", "1.5.2",
]  # fmt: skip
PEELED = st.lists(st.sampled_from(PIECES), min_size=1, max_size=7).map("".join)


def spelled(words: Words, row: int) -> list[tuple[int, int]]:
    """Hash and length of each word of a text."""
    rows = words.rows[words.starts[row] :]
    return [(int(hash_run(rows, k, 1)), int(rows[k + 1, LENGTH] - rows[k, LENGTH])) for k in range(words.counts[row])]


def expected(text: str) -> list[str]:
    words: list[str] = load_word_tokenizer("en").word_tokenize(text)
    return words


@given(text=ANY | PROSE | st.lists(st.sampled_from(CHUNKS) | ANY, max_size=10).map(" ".join))
@example(text="")
@example(text="".join(SPACES))
@example(text="word" + "".join(space + "don't" for space in SPACES))
@example(text="a" * 100_000)
def test_words_are_datatroves(text: str) -> None:
    text = text.replace(UNSAFE, "")  # hypothesis tries the constants it finds in the code
    found = spelled(words_of(pa.array([text])), 0)
    assert found == [(word_hash(word), len(word)) for word in expected(text)]


@settings(max_examples=1000)
@given(chunk=SHAPE | PEELED)
@example(chunk="a" * MAX_CHARACTERS + ",")
@example(chunk="a-" * MAX_CHARACTERS)
@example(chunk="." * MAX_CHARACTERS)
@example(chunk="a" * 63 + "." + "b" * 62)
@example(chunk="a." + "b" * 64)
@example(chunk="a" * 65 + ".bc")
def test_chunks_are_split_as_spacy_splits_them(chunk: str) -> None:
    found = spelled(words_of(pa.array([chunk])), 0)
    assert found == [(word_hash(word), len(word)) for word in expected(chunk)]


@given(texts=st.lists(PROSE | ANY, max_size=5))
def test_kinds_are_those_of_python(texts: list[str]) -> None:
    texts = [text.replace(UNSAFE, "") for text in texts]
    words = words_of(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        kinds = words.rows[words.starts[row] :, KINDS][: words.counts[row]].astype(np.int64)
        for kind, word in zip(kinds.tolist(), expected(text), strict=True):
            assert bool(kind & ALPHA) == any(c.isalpha() for c in word)
            assert bool(kind & SOUND) == any(c not in PUNCTUATION_SET for c in word)
            assert bool(kind & LINE_END) == (len(f"a{word}a".splitlines()) > 1)


@given(text=PROSE, n=st.integers(1, 5))
def test_a_run_of_words_has_the_hash_of_its_string(text: str, n: int) -> None:
    words, strings = words_of(pa.array([text])), expected(text)
    for i in range(len(strings) - n + 1):
        assert hash_run(words.rows[words.starts[0] :], i, n) == word_hash("".join(strings[i : i + n]))


@pytest.mark.parametrize("text", [UNSAFE, f"a ({UNSAFE}), b", f"x{UNSAFE}y", f"{UNSAFE} {UNSAFE}'s"])
def test_the_word_that_breaks_spacy_is_never_there(text: str) -> None:
    without = words_of(pa.array([text.replace(UNSAFE, "")]))
    for _ in range(3):
        assert spelled(words_of(pa.array([text])), 0) == spelled(without, 0)


def suffixes(chunk: str) -> tuple[object, object]:
    """Where a suffix of the chunk is found, and where spaCy's own search finds it."""
    near, everywhere = chunks.chunks()._nlp.tokenizer.suffix_search, SPACY.tokenizer.tokenizer.suffix_search
    found, right = near(chunk), everywhere(chunk)
    return found and found.span(), right and right.span()


SPACY = load_word_tokenizer("en")


@given(chunk=st.lists(st.sampled_from([*CHUNKS, *CORES, *AFFIXES, "..", "°C."]) | ANY, max_size=6).map("".join))
def test_a_suffix_is_found_where_spacy_finds_it(chunk: str) -> None:
    found, right = suffixes(chunk)
    assert found == right


@pytest.mark.parametrize("kind", ["UNITS", "CURRENCY", "PUNCT", "LIST_QUOTES"])
def test_no_suffix_is_longer_than_where_it_is_looked_for(kind: str) -> None:
    rules = getattr(importlib.import_module("spacy.lang.char_classes"), kind)
    for rule in rules.split("|") if isinstance(rules, str) else rules:
        found, right = suffixes("ox47" + rule.replace("\\", ""))
        assert found == right


@given(texts=st.lists(PROSE, max_size=8), bound=st.integers(1, 9))
def test_the_table_is_emptied_at_its_bound_without_changing_a_word(texts: list[str], bound: int) -> None:
    column = pa.array([text.replace(UNSAFE, "") for text in texts], pa.string())
    whole = words_of(column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "MAX_CHUNKS", bound)
        bounded = words_of(column)
    assert [spelled(bounded, row) for row in range(len(texts))] == [spelled(whole, row) for row in range(len(texts))]


@given(chunks_=st.lists(SHAPE | PEELED, max_size=9))
def test_rules_that_are_not_known_are_left_to_spacy(chunks_: list[str]) -> None:
    column = pa.array([" ".join(chunks_)])
    known = spelled(words_of(column), 0)
    table = chunks.chunks()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "rules", table.rules._replace(marks=np.zeros(0, np.uint16)))
        assert spelled(words_of(column), 0) == known


def test_the_rules_of_the_spacy_that_is_installed_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(spacy_rules({"a": 1}).marks) == END
    monkeypatch.setattr(rules, "DIGEST", "of another version")
    assert len(spacy_rules({"a": 1}).marks) == 0


def test_no_letter_is_left_out() -> None:
    assert not any(map(str.isalpha, map(chr, range(LETTERS, sys.maxunicode + 1))))

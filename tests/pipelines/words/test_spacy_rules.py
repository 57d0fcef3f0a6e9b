"""The rules are spaCy's, and what is done with them is what spaCy does."""

from __future__ import annotations

import pytest
import spacy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spacy.lang import char_classes

from gpts_data.pipelines.words.affixes import LONGEST_UNIT
from gpts_data.pipelines.words.spacy_rules import NEAR, RULES, english
from gpts_data.pipelines.words.word_arrays import UNSAFE
from tests.pipelines.words.pieces import ANY, CHUNKS, PIECE_RUNS, SHAPE
from tests.pipelines.words.write_spacy_rules import written

SPACY = spacy.blank("en").tokenizer
CASES = st.lists(st.sampled_from(sorted(english().special)) | PIECE_RUNS, min_size=1, max_size=4).map("".join)


def test_the_file_is_what_the_spacy_of_the_constraints_says() -> None:
    assert RULES.read_text(encoding="utf-8") == written(), "python -m tests.pipelines.words.write_spacy_rules"


def test_no_unit_is_longer_than_where_suffixes_are_looked_for() -> None:
    longest = max(map(len, english().units))
    assert longest == LONGEST_UNIT and longest + 2 <= NEAR, "and a rule looks at two characters before"


@pytest.mark.parametrize("kind", ["UNITS", "CURRENCY", "PUNCT", "LIST_QUOTES"])
def test_every_suffix_is_found_where_it_is_looked_for(kind: str) -> None:
    rules = getattr(char_classes, kind)
    for rule in rules.split("|") if isinstance(rules, str) else rules:
        chunk = "ox47" + rule.replace("\\", "")
        assert english().words(chunk) == [token.text for token in SPACY(chunk)]


@settings(max_examples=1000)
@given(text=CASES | SHAPE | ANY | st.sampled_from(CHUNKS))
@example(text="(don't)")
@example(text="...cannot...")
@example(text=":):):)")
@example(text="x:)y(:z")
@example(text="(" * 300 + "cannot" + "." * 300)
@example(text='{"a":"b.c@d","e":1},' * 50)
@example(text="me:you@example.org:80/x")
@example(text="http://me@you@example.org")
@example(text="http://@example.org")
@example(text="—" * 300)
def test_words_are_spacys(text: str) -> None:
    for chunk in text.replace(UNSAFE, "").split():  # datatrove_tokenizer.py says why
        assert english().words(chunk) == [token.text for token in SPACY(chunk)]


def test_special_cases_alone_and_beside_others() -> None:
    for case in english().special:
        for chunk in (case, f"({case}),", f"{case}{case}", f"a{case}", f"{case}."):
            assert english().words(chunk) == [token.text for token in SPACY(chunk)]

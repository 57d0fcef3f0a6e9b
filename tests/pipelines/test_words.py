"""The words are datatrove's own."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines import words
from gpts_data.pipelines.words import UNSAFE, ChunkWords

SPACES = [*" \n\t\v\f\x1c\x1f\x85\xa0\u1680\u2009\u2028\u3000", "  ", "\r\n"]
CHUNKS = [
    "The", "end.", "don't", "can't've", "they’re", "cannot", "gonna", "U.S.A.", "e.g.", "10a.m.",
    "Dr.", "co-operate", "https://example.org/a?b=c#d", "me@example.org", "$1,000.00", "50%",
    "3.14", "“quoted”", "(see", "below).", "and/or", "naïve", "漢字かな交じり文", "Привет,", "🙂🙂",
    "👩\u200d👩\u200d👧", "é", "\u200b", "\ufeff", "---", "...", "…", "#tag", "a\u00adb", "'em", "x=y",
]  # fmt: skip
PROSE = st.lists(st.sampled_from(CHUNKS) | st.sampled_from(SPACES), max_size=30).map("".join)
ANY = st.text(st.characters(codec="utf-8"), max_size=40)


@pytest.fixture(scope="module")
def chunk_words() -> ChunkWords:
    return ChunkWords()


@given(text=ANY | PROSE | st.lists(st.sampled_from(CHUNKS) | ANY, max_size=10).map(" ".join))
@example(text="")
@example(text="".join(SPACES))
@example(text="word" + "".join(space + "don't" for space in SPACES))
@example(text="a" * 100_000)
def test_words_are_datatroves(chunk_words: ChunkWords, text: str) -> None:
    text = text.replace(UNSAFE, "")  # hypothesis tries the constants it finds in the code
    assert chunk_words.word_tokenize(text) == chunk_words._original.word_tokenize(text)


@given(text=PROSE)
def test_sentences_are_datatroves(chunk_words: ChunkWords, text: str) -> None:
    assert chunk_words.sent_tokenize(text) == chunk_words._original.sent_tokenize(text)
    assert chunk_words.span_tokenize(text) == chunk_words._original.span_tokenize(text)


@pytest.mark.parametrize("text", [UNSAFE, f"a ({UNSAFE}), b", f"x{UNSAFE}y", f"{UNSAFE} {UNSAFE}'s"])
def test_the_word_that_breaks_spacy_is_never_there_whatever_came_before(text: str) -> None:
    without = text.replace(UNSAFE, "")
    for tokenizer in (ChunkWords(), ChunkWords()):
        for _ in range(3):
            assert tokenizer.word_tokenize(text) == tokenizer._original.word_tokenize(without)
            assert tokenizer.sent_tokenize(text) == tokenizer._original.sent_tokenize(without)


@given(texts=st.lists(PROSE, max_size=8), bound=st.integers(1, 9))
def test_the_table_stays_within_its_bound_without_changing_a_word(texts: list[str], bound: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(words, "MAX_CHUNKS", bound)
        bounded = ChunkWords()
        for text in texts:
            assert bounded.word_tokenize(text) == bounded._original.word_tokenize(text)
            assert len(bounded._words) <= bound


def test_a_callers_list_is_its_own(chunk_words: ChunkWords) -> None:
    chunk_words.word_tokenize("mutable").append("changed")
    assert chunk_words.word_tokenize("mutable") == ["mutable"]

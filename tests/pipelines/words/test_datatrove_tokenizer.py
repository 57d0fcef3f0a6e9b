"""datatrove's words and sentences, and never the word that breaks spaCy."""

from __future__ import annotations

import pytest
from datatrove.utils.word_tokenizers import load_word_tokenizer

from gpts_data.pipelines.words.datatrove_tokenizer import UNSAFE, SteadyWords


@pytest.mark.parametrize("text", [UNSAFE, f"a ({UNSAFE}), b", f"x{UNSAFE}y", f"{UNSAFE} {UNSAFE}'s", "It's. Fine!"])
def test_the_word_that_breaks_spacy_is_never_there_whatever_came_before(text: str) -> None:
    original, without = load_word_tokenizer("en"), text.replace(UNSAFE, "")
    for tokenizer in (SteadyWords(), SteadyWords()):
        for _ in range(3):
            assert tokenizer.word_tokenize(text) == original.word_tokenize(without)
            assert tokenizer.sent_tokenize(text) == original.sent_tokenize(without)
            assert tokenizer.span_tokenize(text) == original.span_tokenize(without)

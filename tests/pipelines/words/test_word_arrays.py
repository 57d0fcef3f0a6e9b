"""The words in the arrays are datatrove's own, and their hashes tell strings apart."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from datatrove.utils.text import PUNCTUATION_SET
from datatrove.utils.word_tokenizers import load_word_tokenizer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.text.char_classes import ALPHA, LAST_LETTER, LINE_END, NOT_PUNCTUATION
from gpts_data.pipelines.text.rolling_hash import word_hash
from gpts_data.pipelines.words import chunk_cache
from gpts_data.pipelines.words.char_flags import MAX_CHARACTERS
from gpts_data.pipelines.words.word_arrays import UNSAFE, WordArrays, split_words
from gpts_data.pipelines.words.word_rows import CLASSES, LENGTH, hash_run
from tests.pipelines.words.pieces import ANY, CHUNKS, PIECE_RUNS, PROSE, SHAPE, SPACES


def spelled(words: WordArrays, row: int) -> list[tuple[int, int]]:
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
    found = spelled(split_words(pa.array([text])), 0)
    assert found == [(word_hash(word), len(word)) for word in expected(text)]


@settings(max_examples=1000)
@given(chunk=SHAPE | PIECE_RUNS)
@example(chunk="a" * MAX_CHARACTERS + ",")
@example(chunk="a-" * MAX_CHARACTERS)
@example(chunk="." * MAX_CHARACTERS)
@example(chunk="a" * 63 + "." + "b" * 62)
@example(chunk="a." + "b" * 64)
@example(chunk="a" * 65 + ".bc")
@example(chunk="1٣.1.2.4/a-b")
@example(chunk="http://1.2٣.3.4/a-b")
def test_chunks_are_split_as_spacy_splits_them(chunk: str) -> None:
    found = spelled(split_words(pa.array([chunk])), 0)
    assert found == [(word_hash(word), len(word)) for word in expected(chunk)]


@given(texts=st.lists(PROSE | ANY, max_size=5))
def test_kinds_are_those_of_python(texts: list[str]) -> None:
    texts = [text.replace(UNSAFE, "") for text in texts]
    words = split_words(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        kinds = words.rows[words.starts[row] :, CLASSES][: words.counts[row]].astype(np.int64)
        for kind, word in zip(kinds.tolist(), expected(text), strict=True):
            assert bool(kind & ALPHA) == any(c.isalpha() for c in word)
            assert bool(kind & NOT_PUNCTUATION) == any(c not in PUNCTUATION_SET for c in word)
            assert bool(kind & LINE_END) == (len(f"a{word}a".splitlines()) > 1)


@given(text=PROSE, n=st.integers(1, 5))
def test_a_run_of_words_has_the_hash_of_its_string(text: str, n: int) -> None:
    words, strings = split_words(pa.array([text])), expected(text)
    for i in range(len(strings) - n + 1):
        assert hash_run(words.rows[words.starts[0] :], i, n) == word_hash("".join(strings[i : i + n]))


@pytest.mark.parametrize("text", [UNSAFE, f"a ({UNSAFE}), b", f"x{UNSAFE}y", f"{UNSAFE} {UNSAFE}'s"])
def test_the_word_that_breaks_spacy_is_never_there(text: str) -> None:
    without = split_words(pa.array([text.replace(UNSAFE, "")]))
    for _ in range(3):
        assert spelled(split_words(pa.array([text])), 0) == spelled(without, 0)


@pytest.mark.parametrize("chunk", ["@", "🙂", "don't"])
def test_texts_of_one_chunk_that_nobody_knows_yet(chunk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for all of them: they are more than half as many as the bytes."""
    monkeypatch.setattr("gpts_data.pipelines.words.word_arrays.chunks", cache(chunk_cache.ChunkCache))
    words = split_words(pa.array([chunk] * 5000))
    assert words.counts.tolist() == [len(expected(chunk))] * 5000
    assert spelled(words, 4999) == [(word_hash(word), len(word)) for word in expected(chunk)]


@given(texts=st.lists(PROSE, max_size=8), bound=st.integers(1, 9))
def test_the_table_is_emptied_at_its_bound_without_changing_a_word(texts: list[str], bound: int) -> None:
    column = pa.array([text.replace(UNSAFE, "") for text in texts], pa.string())
    whole = split_words(column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_cache, "MAX_CHUNKS", bound)
        bounded = split_words(column)
    assert [spelled(bounded, row) for row in range(len(texts))] == [spelled(whole, row) for row in range(len(texts))]


def test_no_letter_is_left_out() -> None:
    assert not any(map(str.isalpha, map(chr, range(LAST_LETTER, sys.maxunicode + 1))))

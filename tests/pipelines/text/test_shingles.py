"""Words and n-grams from UTF-8, against the rules in plain Python and datatrove's words."""

from __future__ import annotations

import numpy as np
import pytest
from datatrove.utils.text import TextNormConfig, simplify_text
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines.text.normalization import normalization_table
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words
from tests.support import plain_kernels as plain

LETTERS = "\u0416\u4e2d\u6587\u3042\u0e01\u0e49\U00020000\U0001d400"
ALPHABET = LETTERS + "aaBbZ \n.,,..1290-'_$\xe9\xc9e\u0301\u03a3\u0130\xad\u00a0\u2003\u0663\uff11"
TEXT = st.text(st.sampled_from(ALPHABET), max_size=40)


def word_hashes(text: str, split_unspaced: bool = True) -> list[int]:
    raw, table = text.encode(), normalization_table(split_unspaced)
    words = np.zeros((len(raw) + 1) // 2, np.uint64)
    return words[: hash_words(np.frombuffer(raw, np.uint8), 0, len(raw), table, words)].tolist()


def ngram_hashes(text: str, n: int) -> list[int]:
    hashes = np.array(word_hashes(text), np.uint64)
    return hashes[: hash_ngrams(hashes, len(hashes), n)].tolist()


@given(TEXT, st.booleans())
@example("1,234,567.8 1.2.3 1. 2 .5 a1.5b 12,a", True)
@example("\u0663\u0663 1\u0663", True)
def test_words_are_the_rule_in_plain_python(text: str, split_unspaced: bool) -> None:
    expected = [plain.hash_word(word) for word in plain.words(text, split_unspaced)]
    assert word_hashes(text, split_unspaced) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\u6a21\u578b GPT4\u7684\u53c2\u6570\u3002", "\u6a21 \u578b gpt4 \u7684 \u53c2 \u6570"),  # Chinese
        ("\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8", "\u65e5 \u672c \u8a9e \u306e \u30c6 \u30b9 \u30c8"),  # Japanese
        ("\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22", "\u0e20 \u0e32 \u0e29 \u0e32 \u0e44 \u0e17 \u0e22"),  # Thai
        ("\ud55c\uad6d\uc5b4 \ubb38\uc7a5", "\ud55c\uad6d\uc5b4 \ubb38\uc7a5"),  # Korean has spaces
    ],
)
def test_characters_are_words_where_a_script_has_no_spaces(text: str, words: str) -> None:
    assert word_hashes(text) == [plain.hash_word(word) for word in words.split()]


@given(TEXT, st.integers(1, 7))
def test_ngrams_are_the_rule_in_plain_python(text: str, n: int) -> None:
    words = plain.words(text)
    expected = [plain.hash_ngram(tuple(words[i : i + n])) for i in range(len(words) - n + 1)]
    assert ngram_hashes(text, n) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It's THE end -- of line", "it s\u00a0the\tEnd\u2014of \u201cline\u201d!"),
        ("caf\xe9 na\xefve", "cafe\u0301 NAIVE"),
        ("it cost 1,234.50", "it cost \uff11 234 50"),
        ("infor\xadmation \ufeffhere", "information here"),
        ("x_y", "x y"),
    ],
)
def test_what_does_not_count(one: str, other: str) -> None:
    assert word_hashes(one) == word_hashes(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("a b", "ab"), ("ab", "ba"), ("1 2", "12"), ("12", "13"), ("0a", "a0"), ("\U0001d400", "\U0001d401")],
)
def test_what_does_count(one: str, other: str) -> None:
    assert word_hashes(one) != word_hashes(other)


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_ascii_words_are_datatroves_with_its_numbers_kept(text: str) -> None:
    expected = simplify_text(text, TextNormConfig(norm_numbers=False)).split()
    assert word_hashes(text) == [plain.hash_word(word) for word in expected]


@given(st.binary(max_size=30))
def test_bytes_that_are_no_text_do_no_harm(raw: bytes) -> None:
    """Arrow promises UTF-8; a file may lie. Nothing is read beyond the end, nothing written beyond the room."""
    data = np.frombuffer(raw + b"beyond", np.uint8)
    words = np.zeros((len(raw) + 1) // 2 + 1, np.uint64)
    n = hash_words(data, 0, len(raw), normalization_table(True), words)
    assert n < len(words)
    again = np.zeros_like(words)
    hash_words(np.frombuffer(raw + b"\xff\xfe\xfd\x80", np.uint8), 0, len(raw), normalization_table(True), again)
    assert (words == again).all()


def test_order_counts_and_ngrams_do_not_meet_by_chance() -> None:
    """All 8^5 n-grams of eight words have hashes of their own."""
    words = np.array(word_hashes("a b c d e f g h"), np.uint64)
    rows = words[np.indices((8,) * 5).reshape(5, -1).T].copy()
    for row in rows:
        assert hash_ngrams(row, 5, 5) == 1
    assert len(set(rows[:, 0].tolist())) == 8**5


def test_fewer_words_than_n_have_no_ngrams() -> None:
    assert ngram_hashes("four words are short", 5) == []
    assert len(ngram_hashes("five words are not short", 5)) == 1
    assert ngram_hashes("", 1) == []

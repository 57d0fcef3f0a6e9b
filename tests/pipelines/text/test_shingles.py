"""Words and n-grams from UTF-8, against the rules in plain Python and datatrove's words."""

from __future__ import annotations

import numpy as np
import pytest
from datatrove.utils.text import simplify_text
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines.text.normalization import normalization_table
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words
from tests.support import plain_kernels as plain

ALPHABET = "aaBbZ \n.,,..1290-'_$\xe9\xc9e\u0301\u03a3\u0130\xad\u00a0\u2003\u0416\u4e2d\u6587\u0663\uff11\U0001d400"
TEXT = st.text(st.sampled_from(ALPHABET), max_size=40)


def word_hashes(text: str) -> list[int]:
    raw = text.encode()
    words = np.zeros((len(raw) + 1) // 2, np.uint64)
    return words[: hash_words(np.frombuffer(raw, np.uint8), 0, len(raw), normalization_table(), words)].tolist()


def ngram_hashes(text: str, n: int) -> list[int]:
    hashes = np.array(word_hashes(text), np.uint64)
    return hashes[: hash_ngrams(hashes, len(hashes), n)].tolist()


@given(TEXT)
@example("1,234,567.8 1.2.3 1. 2 .5 a1.5b 12,a")
@example("\u0663\u0663 1\u0663")
def test_words_are_the_rule_in_plain_python(text: str) -> None:
    assert word_hashes(text) == [plain.hash_word(word) for word in plain.words(text)]


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
        ("on 12 May 1999 it cost 1,234.50", "on 3 May 7 it cost 9"),
        ("infor\xadmation \ufeffhere", "information here"),
        ("x_y", "x y"),
    ],
)
def test_what_does_not_count(one: str, other: str) -> None:
    assert word_hashes(one) == word_hashes(other)


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "ab"), ("ab", "ba"), ("1 2", "12"), ("0a", "a0"), ("\U0001d400", "\U0001d401")]
)
def test_what_does_count(one: str, other: str) -> None:
    assert word_hashes(one) != word_hashes(other)


@given(st.text(st.characters(codec="ascii"), max_size=60).filter(lambda text: "0" not in text))
def test_ascii_words_without_numbers_are_datatroves(text: str) -> None:
    text = "".join(c for c in text if not c.isdigit())
    assert len(word_hashes(text)) == len(simplify_text(text).split())


@given(st.binary(max_size=30))
def test_bytes_that_are_no_text_do_no_harm(raw: bytes) -> None:
    """Arrow promises UTF-8; a file may lie. Nothing is read beyond the end, nothing written beyond the room."""
    data = np.frombuffer(raw + b"beyond", np.uint8)
    words = np.zeros((len(raw) + 1) // 2 + 1, np.uint64)
    n = hash_words(data, 0, len(raw), normalization_table(), words)
    assert n < len(words)
    again = np.zeros_like(words)
    hash_words(np.frombuffer(raw + b"\xff\xfe\xfd\x80", np.uint8), 0, len(raw), normalization_table(), again)
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

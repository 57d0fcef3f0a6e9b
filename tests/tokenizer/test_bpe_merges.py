"""Our merges are those of `tokenizers`: many small inputs full of ties, words of every kind, and where we give up."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from gpts_data.tokenizer import bpe, bpe_merges
from gpts_data.tokenizer.bpe import train_bpe, train_bpe_by_counting, train_bpe_by_tokenizers
from gpts_data.tokenizer.pretokenizer import PATTERN, spans
from gpts_data.tokenizer.word_counts import LETTER, NEWLINE, NUMBER, SPACE, WordCounts, char_kinds
from tests.conftest import prose

CUT = pre_tokenizers.Split(Regex(PATTERN), "isolated")
TRICKY = st.text(
    alphabet="abS\u017fs'tlLVeER 09\u0663\u00b2\n\r\t\u00a0\u2028\u0085.!/\u00e9\u0301\u6f22\U0001f600\U00010400\0"
)


def expected_counts(texts: list[str]) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for text in texts:
        for piece, _ in CUT.pre_tokenize_str(text):
            found[piece.encode()] = found.get(piece.encode(), 0) + 1
    return found


def counts(words: WordCounts) -> dict[bytes, int]:
    starts = [0, *words.ends.tolist()]
    data = words.word_bytes.tobytes()
    return {data[a:b]: n for a, b, n in zip(starts, starts[1:], words.counts.tolist(), strict=False)}


@given(st.lists(st.one_of(TRICKY, st.text()), max_size=5))
def test_words_are_those_of_the_pattern(texts: list[str]) -> None:
    words = WordCounts()
    words.add(texts)
    assert counts(words) == expected_counts(texts)


def test_words_are_counted_over_many_batches() -> None:
    rng, words = random.Random(2), WordCounts()
    texts = ["".join(rng.choices("abcdefg ", k=400)) for _ in range(2000)]
    for start in range(0, len(texts), 170):
        words.add(texts[start : start + 170])
    assert counts(words) == expected_counts(texts)
    assert words.count > 1 << 13


def test_every_character_is_what_tokenizers_says() -> None:
    wanted = np.zeros(0x110000, np.uint8)
    for first in (*range(0, 0xD800, 0x800), *range(0xE000, 0x110000, 0x800)):
        text = "".join(map(chr, range(first, first + 0x800)))
        for kind, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
            for start, end in spans(pattern, text):
                wanted[first + start : first + end] = kind
    wanted[[10, 13]] = NEWLINE
    there = np.r_[0:0xD800, 0xE000:0x110000]
    assert np.array_equal(char_kinds()[there], wanted[there])


@given(st.lists(st.text(alphabet="aab \n", max_size=40), max_size=8), st.integers(1, 400), st.booleans())
def test_ties_and_runs_are_merged_as_tokenizers_does(texts: list[str], vocab_size: int, special: bool) -> None:
    more = ["<|user|>"] if special else []
    ours = train_bpe_by_counting([texts], vocab_size, more)
    if ours is not None:
        assert ours.to_str() == train_bpe_by_tokenizers([texts], vocab_size, more).to_str()


@pytest.mark.parametrize("seed", range(8))
def test_prose_in_any_letters_is_merged_as_tokenizers_does(seed: int) -> None:
    rng = random.Random(seed)
    letters = [
        "abcdef",
        "aeiou \n",
        "\u00e9\u6f22\U0001f600\u0430 ab",
        "0123456789 .",
        "ab'st ",
        "x",
        "()[] \r\n",
        "az",
    ][seed]
    texts = [prose(rng, 30) + "".join(rng.choices(letters, k=200)) for _ in range(60)]
    ours = train_bpe_by_counting([texts[:20], texts[20:]], 500)
    assert ours is not None
    assert ours.to_str() == train_bpe_by_tokenizers([texts], 500).to_str()


def test_merges_do_not_depend_on_how_often_the_table_of_pairs_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(9)
    texts = ["".join(rng.choices("abc ", k=400)) for _ in range(60)]
    slots: list[int] = []
    full = np.full

    def recorded(size: int, *arguments: object) -> object:
        slots.append(size)
        return full(size, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(bpe_merges, "FIRST_SLOTS", 64)  # for 16 pairs of bytes
    monkeypatch.setattr(bpe_merges.np, "full", recorded)
    ours = train_bpe_by_counting([texts], 1000)
    assert ours is not None
    assert slots[-5:] == [64, 256, 1024, 4096, 16384]
    assert ours.to_str() == train_bpe_by_tokenizers([texts], 1000).to_str()


def test_it_gives_up_where_a_string_comes_about_in_two_ways() -> None:
    assert train_bpe_by_counting([["hello hello"]], 300, ["hello"]) is None
    assert train_bpe([["hello hello"]], 300, ["hello"]).get_vocab_size() > 257


def test_large_samples_are_counted_and_give_the_same_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    batches = [[prose(rng, 40) for _ in range(30)] for _ in range(6)]
    reference = train_bpe_by_tokenizers(batches, 400).to_str()
    seen: list[int] = []

    def counted(*arguments: object) -> object:
        seen.append(1)
        return train_bpe_by_counting(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(bpe, "CHECK_CHARACTERS", 5000)
    monkeypatch.setattr(bpe, "train_bpe_by_counting", counted)
    assert train_bpe(batches, 400).to_str() == reference
    assert len(seen) == 2  # the check, and all texts
    assert train_bpe(iter(batches), 400).to_str() == reference


def test_other_merges_in_the_check_leave_training_to_tokenizers(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(7)
    batches = [[prose(rng, 40) for _ in range(30)] for _ in range(6)]
    monkeypatch.setattr(bpe, "CHECK_CHARACTERS", 5000)
    monkeypatch.setattr(bpe, "train_bpe_by_counting", lambda *_: train_bpe_by_tokenizers([["other"]], 400))
    assert train_bpe(iter(batches), 400).to_str() == train_bpe_by_tokenizers(batches, 400).to_str()

"""Where text is cut: digits apart, equal numbers alike, every byte kept."""

from __future__ import annotations

import random
import re

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers

from gpts_data.tokenizer.bpe import train_bpe
from gpts_data.tokenizer.pretokenizer import PATTERN, new_tokenizer
from tests.conftest import prose

CUT = pre_tokenizers.Split(Regex(PATTERN), "isolated")


def cuts(text: str) -> list[str]:
    return [piece for piece, _ in CUT.pre_tokenize_str(text)]


@given(st.text())
def test_nothing_is_lost(text: str) -> None:
    assert "".join(cuts(text)) == text


@given(st.text(alphabet="ab 019.-\n\u0664"))
def test_a_digit_is_a_piece_of_its_own(text: str) -> None:
    for piece in cuts(text):
        assert len(piece) == 1 or not any(character.isdigit() for character in piece)


def test_where_words_newlines_and_indentation_are_cut() -> None:
    assert cuts("He isn't (here).\n\n  The 42 men") == [
        "He",
        " isn",
        "'t",
        " (",
        "here",
        ").\n\n",
        " ",
        " The",
        " ",
        "4",
        "2",
        " men",
    ]


def test_equal_numbers_are_equal_ids_whatever_is_before_them() -> None:
    texts = [f"{n} + {n} = {2 * n}\n" for n in range(500)]
    tokenizer: Tokenizer = train_bpe(iter([texts]), 300)
    for before in ("", " ", "-", "(", "\n", "x"):
        ids = tokenizer.encode(f"{before}1234").ids
        assert [tokenizer.decode([i]) for i in ids[-4:]] == list("1234")


def test_tokenizer_json_says_it_in_its_own_words() -> None:
    again = Tokenizer.from_str(new_tokenizer().to_str())
    assert again.to_str() == new_tokenizer().to_str()
    assert re.search(r'"use_regex": ?false', again.to_str())


def test_every_byte_has_an_entry() -> None:
    tokenizer = train_bpe(iter([[prose(random.Random(4), 50)]]), 270)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    assert {tokenizer.token_to_id(letter) for letter in alphabet} == set(range(1, 257))
    for text in ("\U0010ffff\0\x7f", "漢字 é ﬁ\r\n", "\u0301"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text

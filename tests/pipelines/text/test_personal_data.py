"""E-mail addresses and card numbers are counted, and what only looks like them is not."""

from __future__ import annotations

import pyarrow as pa
import pytest

from gpts_data.pipelines.text.personal_data import PersonalData, count_card_numbers, count_emails, has_check_digit

TEST_NUMBERS = ("4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "6011111111111117", "2223003122003222")


def test_addresses_are_counted() -> None:
    texts = pa.array(["Write to ann@example.org or b.c+d@mail.example.co.uk.", None, "", "no @ all, a@b, x@y.z"])
    assert count_emails(texts) == 2
    assert count_emails(pa.array([], pa.string())) == 0


@pytest.mark.parametrize("number", TEST_NUMBERS)
def test_the_numbers_that_card_networks_give_for_tests_are_counted(number: str) -> None:
    assert count_card_numbers(pa.array([f"It is {number}.", f"{number}, {number}\n"])) == 3


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",  # another check digit
        "4111 1111 1111",  # 12 digits
        "41111111111111111111",  # 20 digits
        "0.4111111111111111",  # a fraction
        "10 4111 1111 1111 1111 10",  # part of a table of numbers
        "4444444444444448x",  # part of a word
        "5555555555555555",
    ],
)
def test_other_numbers_are_not(text: str) -> None:
    assert count_card_numbers(pa.array([text])) == 0


def test_one_in_ten_numbers_has_a_check_digit() -> None:
    assert sum(has_check_digit(str(4 * 10**15 + number)) for number in range(1000)) == 100


def test_counts_are_relative_to_the_tokens() -> None:
    assert PersonalData(500_000, 6, 1).per_million(6) == 12
    assert PersonalData(0, 0, 0).per_million(0) == 0

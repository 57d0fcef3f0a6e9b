"""How many e-mail addresses and payment card numbers a text has.

Two kinds of personal data that a pattern recognizes with few errors. Nothing is changed or removed: the counts say
whether a source needs a look before it is trained on and published.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

_EMAIL = r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"
# 13 to 19 digits (ISO/IEC 7812), alone or in groups; the first is 2 to 6 for the cards of all large networks.
_CARD = r"\b[2-6](?:[ -]?[0-9]){12,18}\b"
_CARD_ALONE = re.compile(rf"(?<![0-9][ .,-])(?<!\.){_CARD}(?![ .,-]?[0-9])")


@dataclass(frozen=True)
class PersonalData:
    """Counts of personal data, and in how many tokens they were looked for."""

    tokens: int
    """Tokens of the texts that were looked at."""
    emails: int
    """E-mail addresses."""
    card_numbers: int
    """Numbers of payment cards: 13 to 19 digits with a valid check digit."""

    def per_million(self, count: int) -> float:
        """`count` for a million of the tokens; 0 when there are none."""
        return count * 1e6 / self.tokens if self.tokens else 0.0


def count_emails(texts: pa.Array | pa.ChunkedArray) -> int:
    """The number of e-mail addresses in an array of strings."""
    return int(pc.sum(pc.count_substring_regex(texts, _EMAIL)).as_py() or 0)


def count_card_numbers(texts: pa.Array | pa.ChunkedArray) -> int:
    """The number of payment card numbers in an array of strings: those of which `has_check_digit` holds."""
    candidates = texts.filter(pc.match_substring_regex(texts, _CARD)).to_pylist()
    return sum(has_check_digit(match[0]) for text in candidates for match in _CARD_ALONE.finditer(text))


def has_check_digit(number: str) -> bool:
    """Whether the last digit of a number is the check digit of the others by Luhn's algorithm (ISO/IEC 7812-1).

    One in ten random numbers passes. A number whose digits are all the same is no card.
    """
    digits = [int(character) for character in number if character.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0

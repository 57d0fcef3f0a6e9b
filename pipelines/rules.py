"""spaCy's rules for English words as tables: which characters are prefixes, which suffixes, what is a unit of measure.

Each bit of a character is an answer of spaCy's own expressions, asked once per process. Whether they are those that
peel.py was written for is told by their digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.marks import (
    ALPHA,
    BEFORE_POINT,
    CURRENCY,
    HOST,
    ICON,
    LOWER,
    PREFIX,
    QUOTE,
    SUFFIX,
    UPPER,
)
from gpts_data.pipelines.polynomial import word_hash
from gpts_data.pipelines.tables import hash_set

DIGEST = "498be946345ccad0ef5f4f48dcbc277f2e08614d06500c8aef96881f99a5a516"  # of spaCy 3.8's English rules
END = 0x10000
"""No character from here on has marks: chunks with one are for spaCy."""
_EVERY = "".join(map(chr, range(END)))
_BEFORE_POINT = -2  # the place of `(?<=[...])\.` among the suffixes


class Rules(NamedTuple):
    """What `peel.rule_words` and its callers ask. The last three are tables of hashes, for `in_set`."""

    marks: NDArray[np.uint16]
    """Of each character below END, the bits of marks.py. Empty if spaCy's rules are others: then spaCy is asked all."""
    units: NDArray[np.uint64]
    special: NDArray[np.uint64]
    """spaCy's special cases ("Mr.", "cannot"): what has a run of words that is one of them as a string is spaCy's."""
    divided: NDArray[np.uint64]
    """Those that are more than one word ("cannot"): what a single word must not be."""
    longest: int
    """Characters of the longest special case."""


def spacy_rules(special: Mapping[str, int]) -> Rules:
    """The rules of spaCy's English. `special`: its special cases, of how many words each is."""
    divided = (chunk for chunk, n_words in special.items() if n_words > 1)
    return Rules(_marks(), _units(), _hashes(special), _hashes(divided), max(map(len, special)))


def _hashes(words: Iterable[str]) -> NDArray[np.uint64]:
    return hash_set(word_hash(word) for word in words)


def _units() -> NDArray[np.uint64]:
    from spacy.lang.char_classes import UNITS

    return _hashes(UNITS.split("|"))


def _marks() -> NDArray[np.uint16]:
    """Each mark is on the characters that match one of spaCy's expressions."""
    from spacy.lang import char_classes
    from spacy.lang.en import EnglishDefaults
    from spacy.lang.tokenizer_exceptions import URL_PATTERN

    pieces = [EnglishDefaults.prefixes, EnglishDefaults.suffixes, EnglishDefaults.infixes, [URL_PATTERN]]
    found = sha256("\n\n".join("\n".join(part) for part in pieces).encode()).hexdigest()
    if found != DIGEST:
        return np.zeros(0, np.uint16)
    marks = np.zeros(END, np.uint16)
    for mark, expression in {
        PREFIX: _singles(EnglishDefaults.prefixes),
        SUFFIX: _singles(EnglishDefaults.suffixes),
        ALPHA: f"[{char_classes.ALPHA}]",
        LOWER: f"[{char_classes.ALPHA_LOWER}]",
        UPPER: f"[{char_classes.ALPHA_UPPER}]",
        QUOTE: f"[{char_classes.CONCAT_QUOTES}]",
        ICON: "|".join(char_classes.LIST_ICONS),
        CURRENCY: _singles(char_classes.LIST_CURRENCY),
        HOST: r"[A-Za-z0-9\u00a1-\uffff]",
    }.items():
        marks[[match.start() for match in re.finditer(expression, _EVERY)]] |= mark
    points = re.finditer(EnglishDefaults.suffixes[_BEFORE_POINT], "".join(c + "." for c in _EVERY))
    marks[[match.start() // 2 for match in points]] |= BEFORE_POINT
    return marks


def _singles(pieces: Sequence[str]) -> str:
    """Those of the pieces that match one character, as an expression."""
    return "|".join(piece for piece in pieces if len(piece.removeprefix("\\")) == 1 or piece.startswith("["))

"""Writes spaCy's rules for English words to pipelines/words/spacy_rules.json.

    python -m tests.pipelines.words.write_spacy_rules

Each flag is set for the characters that match one of spaCy's regular expressions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.metadata import distribution
from typing import Any

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.lang import char_classes
from spacy.lang.en import EnglishDefaults

from gpts_data.pipelines.words.char_flags import (
    ALPHA,
    CURRENCY,
    END,
    HOST,
    LOWER,
    MAY_PRECEDE_PERIOD,
    PREFIX,
    QUOTE,
    SUFFIX,
    SYMBOL,
    UPPER,
)
from gpts_data.pipelines.words.spacy_rules import RULES

EVERY = "".join(map(chr, range(END)))
PERIOD_SUFFIX = -2  # the index of `(?<=[...])\.` among the suffixes
USER = r"(?:\S+(?::\S*)?@)?"  # in the expression for URLs
HOSTS = r"[A-Za-z0-9\u00a1-\uffff]"


def rules() -> dict[str, Any]:
    tokenizer = spacy.blank("en").tokenizer
    special = {chunk: [part[spacy.symbols.ORTH] for part in parts] for chunk, parts in sorted(tokenizer.rules.items())}
    searches = tokenizer.suffix_search, tokenizer.infix_finditer, tokenizer.url_match
    suffix, infix, url = (search.__self__.pattern for search in searches)
    protocol, host = url.removeprefix("(?u)^").split(USER)
    assert HOSTS in host and tokenizer.token_match is None
    return {
        "source": f"the English rules of spaCy {spacy.__version__}, https://github.com/explosion/spaCy",
        "license": distribution("spacy").read_text("licenses/LICENSE"),
        "prefix": "|".join(piece for piece in EnglishDefaults.prefixes if piece.strip()),
        "suffix": suffix,
        "infix": infix,
        "protocol": protocol.removesuffix("?"),
        "host": host,
        "special": {chunk: words for chunk, words in special.items() if not re.search(r"\s", chunk)},
        "units": char_classes.UNITS.split("|"),
        "marks": runs(char_flags()),
    }


def char_flags() -> NDArray[np.int64]:
    flags = np.zeros(END, np.int64)
    for flag, expression in {
        PREFIX: singles(EnglishDefaults.prefixes),
        SUFFIX: singles(EnglishDefaults.suffixes),
        ALPHA: f"[{char_classes.ALPHA}]",
        LOWER: f"[{char_classes.ALPHA_LOWER}]",
        UPPER: f"[{char_classes.ALPHA_UPPER}]",
        QUOTE: f"[{char_classes.CONCAT_QUOTES}]",
        SYMBOL: "|".join(char_classes.LIST_ICONS),
        CURRENCY: singles(char_classes.LIST_CURRENCY),
        HOST: HOSTS,
    }.items():
        flags[[match.start() for match in re.finditer(expression, EVERY)]] |= flag
    assert EnglishDefaults.suffixes[PERIOD_SUFFIX].startswith("(?<=[0-9a-z")
    periods = re.finditer(EnglishDefaults.suffixes[PERIOD_SUFFIX], "".join(c + "." for c in EVERY))
    flags[[match.start() // 2 for match in periods]] |= MAY_PRECEDE_PERIOD
    return flags


def singles(pieces: Sequence[str]) -> str:
    """Return the pieces that match a single character, as one regular expression."""
    return "|".join(piece for piece in pieces if len(piece.removeprefix("\\")) == 1 or piece.startswith("["))


def runs(values: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return the first index, the last index and the value of each run of equal values other than 0."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    ends = np.append(starts[1:], len(values)) - 1
    return [(int(a), int(b), int(values[a])) for a, b in zip(starts, ends, strict=True) if values[a]]


def written() -> str:
    """Return the content of the file: JSON with one line per key."""
    lines = [f"{json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}" for name, part in rules().items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    RULES.write_text(written(), encoding="utf-8")

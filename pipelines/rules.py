"""The rules of english.json as the tables that kernels ask."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.english import english
from gpts_data.pipelines.marks import END
from gpts_data.pipelines.polynomial import word_hash
from gpts_data.pipelines.tables import hash_set


class Rules(NamedTuple):
    """Marks of characters, and tables of hashes for `in_set`."""

    marks: NDArray[np.uint16]
    """The bits of marks.py: shape (END,)."""
    units: NDArray[np.uint64]
    special: NDArray[np.uint64]
    """Special cases: a chunk with a run of words that is one of them as a string is for english.py."""
    divided: NDArray[np.uint64]
    """Those that are more than one word ("cannot"): what a single word must not be."""
    longest: int
    """Characters of the longest special case."""


@lru_cache(maxsize=1)
def rules() -> Rules:
    """The tables, made once per process."""
    language, marks = english(), np.zeros(END, np.uint16)
    for first, last, bits in language.marks:
        marks[first : last + 1] = bits
    divided = (chunk for chunk, words in language.special.items() if len(words) > 1)
    return Rules(marks, _hashes(language.units), _hashes(language.special), _hashes(divided), language.longest)


def _hashes(words: Iterable[str]) -> NDArray[np.uint64]:
    return hash_set(word_hash(word) for word in words)

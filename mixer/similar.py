"""Whether two prepared documents are alike: the exact Jaccard of their word n-grams, read back from their ids."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.texts import Texts
from gpts_data.pipelines.text.hashing import spans
from gpts_data.pipelines.text.normalization import letters
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words

REMEMBERED = 256  # documents whose n-grams are kept: a template's first page is asked about again and again


class SimilarTexts:
    """`dedup.Similar`: at least `jaccard` of the n-grams that either has are in both."""

    def __init__(self, texts: Texts, ngrams: int, jaccard: float) -> None:
        self._texts, self._n, self._least = texts, ngrams, jaccard
        self._ngrams = lru_cache(maxsize=REMEMBERED)(self._read)

    def __call__(self, one: int, other: int) -> bool:
        return jaccard(self._ngrams(one), self._ngrams(other)) >= self._least

    def _read(self, ordinal: int) -> NDArray[np.uint64]:
        return ngrams_of(self._texts.text(ordinal), self._n)


def ngrams_of(text: str, n: int) -> NDArray[np.uint64]:
    """The hashes of the word n-grams of a text as MinHash sees them, each once, sorted: uint64."""
    data, offsets = spans(pa.array([text]))
    words = np.empty(int(offsets[1]) // 2 + 1, dtype=np.uint64)
    count = hash_words(data, offsets[0], offsets[1], letters(), words)
    return np.unique(words[: hash_ngrams(words, count, n)])


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Share of the elements of either set that are in both; 0 of nothing. Sets sorted, each element once."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(len(one) + len(other) - both, 1)

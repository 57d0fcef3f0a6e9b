"""The exact similarity of two documents: the test of near-duplicate candidates, and the value that is shown for one."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.filters.measure import Measurement
from gpts_data.pipelines.text.hashing import string_buffers
from gpts_data.pipelines.text.normalization import normalization_table
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words


def similarity(minhash: dict[str, Any], text: str, other: str) -> Measurement:
    """The Jaccard similarity of the n-grams of two near-duplicates; `minhash` is the recipe's table."""
    value = jaccard(ngrams_of(text, minhash["ngrams"]), ngrams_of(other, minhash["ngrams"]))
    return Measurement("Jaccard similarity", value, minhash["jaccard"], "dedup.minhash.jaccard", is_match=True)


CACHED = 256  # documents whose n-grams are cached: the first page of a template is compared many times


class TextByOrdinal(Protocol):
    """`Texts`, or any other collection of texts."""

    def text(self, ordinal: int) -> str:
        """The text of a document."""


class SimilarTexts:
    """A `greedy.SimilarityTest`: the Jaccard similarity of two documents' word n-grams is at least `jaccard`."""

    def __init__(self, texts: TextByOrdinal, ngrams: int, jaccard: float) -> None:
        self._texts, self._n, self._threshold = texts, ngrams, jaccard
        self._ngrams = lru_cache(maxsize=CACHED)(self._read)

    def __call__(self, document: int, other: int) -> bool:
        return jaccard(self._ngrams(document), self._ngrams(other)) >= self._threshold

    def _read(self, ordinal: int) -> NDArray[np.uint64]:
        return ngrams_of(self._texts.text(ordinal), self._n)


def ngrams_of(text: str, n: int) -> NDArray[np.uint64]:
    """The hashes of a text's distinct word n-grams, as MinHash uses them, sorted: uint64."""
    data, offsets = string_buffers(pa.array([text]))
    words = np.empty(int(offsets[1]) // 2 + 1, dtype=np.uint64)
    count = hash_words(data, offsets[0], offsets[1], normalization_table(split_unspaced=True), words)
    return np.unique(words[: hash_ngrams(words, count, n)])


def jaccard(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> float:
    """The Jaccard similarity of two sets, each sorted and without repetitions; 0 when both are empty."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    return both / max(len(first) + len(second) - both, 1)

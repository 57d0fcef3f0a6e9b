"""Texts of prepared documents, by ordinal. They are decoded from the token ids in the units, byte for byte."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.storage.paths import AnyPath, open_arrow
from gpts_data.pipelines.text.hashing import string_buffers
from gpts_data.pipelines.text.normalization import normalization_table
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words
from gpts_data.tokenizer.encode import Encoder

OPEN = 64  # units that stay memory-mapped


class Texts:
    """Reads documents from units, which are added one by one in canonical order."""

    def __init__(self, coder: Encoder) -> None:
        self._coder = coder
        self._opened = lru_cache(maxsize=OPEN)(_open)  # one cache per object: it releases removed units
        self._paths: list[AnyPath] = []
        self._first: list[int] = []

    def add(self, path: AnyPath, first: int) -> None:
        """Add a unit, whose first document has the ordinal `first`."""
        self._paths.append(path)
        self._first.append(first)

    def unit(self, ordinal: int) -> int:
        """The number of the unit that has a document."""
        return bisect_right(self._first, ordinal) - 1

    def row(self, ordinal: int) -> pa.RecordBatch:
        """The document's row in its unit (schema prepare.UNIT)."""
        number = self.unit(ordinal)
        reader, starts = self._opened(self._paths[number])
        row = ordinal - self._first[number]
        batch = int(np.searchsorted(starts, row, side="right")) - 1
        return reader.get_batch(batch).slice(row - int(starts[batch]), 1)

    def text(self, ordinal: int) -> str:
        """The text of a document."""
        ids = self.row(ordinal).column("ids").flatten().to_numpy()
        return self._coder.decode(ids[:-1])  # without end-of-text


def _open(path: AnyPath) -> tuple[pa.ipc.RecordBatchFileReader, NDArray[np.int64]]:
    """A memory-mapped unit, and the first row of each of its batches."""
    reader = pa.ipc.open_file(open_arrow(path))
    rows = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    return reader, np.cumsum([0, *rows])[:-1]


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

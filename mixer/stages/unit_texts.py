"""Texts of prepared documents, by ordinal: no text is stored, but the ids of a unit give it back to the byte."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.storage.paths import AnyPath, open_arrow
from gpts_data.pipelines.text.hashing import string_buffers
from gpts_data.pipelines.text.normalization import normalization_table
from gpts_data.pipelines.text.shingles import hash_ngrams, hash_words
from gpts_data.tokenizer.encode import Encoder

OPEN = 64  # units that stay mapped


class Texts:
    """Units in canonical order, added one by one."""

    def __init__(self, coder: Encoder) -> None:
        self._coder = coder
        self._opened = lru_cache(maxsize=OPEN)(_open)  # of this walk, so that a unit that is removed is not held
        self._paths: list[AnyPath] = []
        self._first: list[int] = []

    def add(self, path: AnyPath, first: int) -> None:
        """A unit whose first document has the ordinal `first`."""
        self._paths.append(path)
        self._first.append(first)

    def unit(self, ordinal: int) -> int:
        """The number of the unit that holds a document."""
        return bisect_right(self._first, ordinal) - 1

    def row(self, ordinal: int) -> pa.RecordBatch:
        """The document's row of its unit (prepare.UNIT)."""
        number = self.unit(ordinal)
        reader, starts = self._opened(self._paths[number])
        row = ordinal - self._first[number]
        batch = int(np.searchsorted(starts, row, side="right")) - 1
        return reader.get_batch(batch).slice(row - int(starts[batch]), 1)

    def text(self, ordinal: int) -> str:
        ids = self.row(ordinal).column("ids").flatten().to_numpy()
        return self._coder.decode(ids[:-1])  # without end-of-text


def _open(path: AnyPath) -> tuple[pa.ipc.RecordBatchFileReader, NDArray[np.int64]]:
    """A mapped unit, and the row at which each of its batches begins."""
    reader = pa.ipc.open_file(open_arrow(path))
    rows = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    return reader, np.cumsum([0, *rows])[:-1]


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
    data, offsets = string_buffers(pa.array([text]))
    words = np.empty(int(offsets[1]) // 2 + 1, dtype=np.uint64)
    count = hash_words(data, offsets[0], offsets[1], normalization_table(), words)
    return np.unique(words[: hash_ngrams(words, count, n)])


def jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Share of the elements of either set that are in both; 0 of nothing. Sets sorted, each element once."""
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / max(len(one) + len(other) - both, 1)

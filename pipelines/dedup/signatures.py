"""What dedup compares: one row of 64-bit keys per document.

Columns: 0 the whole text (whitespace runs as one space), 1 the id, 2 the url, then one per MinHash bucket: the hash of
that bucket's minimum hashes over word n-grams. 0 means "has none" and never matches. Each column has its own hash seed,
so all columns share one table. Among 3e8 keys (18 million documents at 17 keys each) any two unequal ones coincide with
probability 2.4e-3; among 3e8 documents 0.7 such pairs are expected: one document dropped wrongly, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.dedup.minhash import coefficients, hash_bands
from gpts_data.pipelines.text.hashing import hash_strings, hash_texts, string_buffers
from gpts_data.pipelines.text.normalization import normalization_table

VERSION = 3  # of the keys and their files; prepared units with others are done again
TEXT, ID, URL, FIRST_BAND = range(4)
REASONS = ("exact_duplicate", "id_duplicate", "url_duplicate", "near_duplicate")


@dataclass(frozen=True)
class MinHash:
    """MinHash over word n-grams; datatrove's defaults: a pair at Jaccard 0.8 shares a band with probability 0.92."""

    ngrams: int = 5
    """Words in a row that are compared."""
    buckets: int = 14
    """Bands; two documents that share one are near-duplicates."""
    hashes_per_bucket: int = 8
    """Minima in a band."""
    jaccard: float = 0.0
    """The least exact similarity of the n-grams at which a shared band counts; 0 takes the band's word for it."""


@dataclass(frozen=True)
class Dedup:
    """The `[dedup]` table; `false` switches a rule off."""

    exact: bool = True
    """The same text, but for runs of white space."""
    url: bool = True
    """The same address or the same id: both name the same page."""
    minhash: MinHash | None = MinHash()
    """Near-duplicates."""

    @property
    def n_keys(self) -> int:
        return FIRST_BAND + (self.minhash.buckets if self.minhash else 0)


@lru_cache(maxsize=8)
def signer(dedup: Dedup) -> Signer:
    """The signer of these settings, kept for the life of the process."""
    return Signer(dedup)


class Signer:
    """Makes the keys of a batch: a pure function of its texts and names, at the speed of the machine."""

    def __init__(self, dedup: Dedup) -> None:
        self._dedup = dedup
        if dedup.minhash is not None:
            self._functions = coefficients(dedup.minhash.buckets * dedup.minhash.hashes_per_bucket)

    def sign(self, batch: pa.RecordBatch) -> NDArray[np.uint64]:
        """Keys of the rows of `batch` (columns text, id, url): uint64, shape (rows, `Dedup.n_keys`)."""
        keys = np.zeros((batch.num_rows, self._dedup.n_keys), dtype=np.uint64)
        if self._dedup.exact:
            keys[:, TEXT] = hash_texts(batch.column("text"), TEXT)
        if self._dedup.url:
            keys[:, ID] = hash_strings(batch.column("id"), ID)
            keys[:, URL] = hash_strings(batch.column("url"), URL)
        if minhash := self._dedup.minhash:
            texts, bands = string_buffers(batch.column("text")), keys[:, FIRST_BAND:]
            hash_bands(
                texts,
                normalization_table(),
                self._functions,
                minhash.ngrams,
                minhash.hashes_per_bucket,
                FIRST_BAND,
                bands,
            )
        return keys

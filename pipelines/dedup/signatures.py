"""Signatures: the 64-bit keys of a document by which deduplication compares it with others.

The key columns are: 0 the whole text (whitespace runs count as one space), 1 the id, 2 the URL, then one per MinHash
bucket: the hash of that bucket's minimum hashes over word n-grams. 0 means "no key" and never matches. Each column has
its own hash seed, so all columns can share one table. Ids have one seed per source, unless the recipe says that the ids
of all sources come from one pool: row 17 of one source is not row 17 of another.

Among 3e8 keys (18 million documents with 17 keys each) any two unequal texts get the same key with probability 2.4e-3;
among 3e8 documents 0.7 such pairs are expected, so about one document would be dropped by mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.dedup.minhash import coefficients, hash_bands
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.text.hashing import hash_strings, hash_texts, string_buffers
from gpts_data.pipelines.text.normalization import normalization_table

VERSION = 4  # of the keys and their files; units prepared with another version are prepared again
TEXT, ID, URL, FIRST_BAND = range(4)
SOURCE, ALL = "source", "all"
"""Values of `Dedup.id`."""
MAX_HASHES = 10_000  # RefinedWeb's 20 buckets of 450 hashes are the most in use (Penedo et al. 2023, arXiv 2306.01116)
MAX_NGRAM = 255  # words
REASONS = ("exact_duplicate", "id_duplicate", "url_duplicate", "near_duplicate")


@dataclass(frozen=True)
class MinHash:
    """MinHash over word n-grams, with datatrove's defaults.

    Digits count, unlike there. Two documents with a Jaccard similarity of 0.8 share a band with probability 0.92.
    """

    ngrams: int = 5
    """Consecutive words in an n-gram. In Chinese, Japanese, Thai, Lao, Khmer and Burmese each character is a word."""
    buckets: int = 14
    """Number of bands. Two documents that share a band are near-duplicate candidates."""
    hashes_per_bucket: int = 8
    """Number of minimum hashes in a band."""
    jaccard: float = 0.5
    """The lowest exact Jaccard similarity of a candidate pair's n-grams to count as near-duplicates; 0: no check."""


def check_minhash(minhash: MinHash) -> None:
    """Raise `RecipeError` for settings that make no bands, or so many that no machine could hold them."""
    if not 1 <= minhash.ngrams <= MAX_NGRAM:
        raise RecipeError(f"dedup.minhash.ngrams = {minhash.ngrams}, expected 1 to {MAX_NGRAM} words")
    for key in ("buckets", "hashes_per_bucket"):
        if not 1 <= getattr(minhash, key) <= MAX_HASHES:
            raise RecipeError(f"dedup.minhash.{key} = {getattr(minhash, key)}, expected 1 to {MAX_HASHES:,}")
    if minhash.buckets * minhash.hashes_per_bucket > MAX_HASHES:
        raise RecipeError(
            f"dedup.minhash: {minhash.buckets:,} buckets of {minhash.hashes_per_bucket:,} hashes, expected at most "
            f"{MAX_HASHES:,} hashes in all"
        )
    if not 0 <= minhash.jaccard <= 1:
        raise RecipeError(f"dedup.minhash.jaccard = {minhash.jaccard}, expected 0 (off) to 1")


@dataclass(frozen=True)
class Dedup:
    """The `[dedup]` table: which documents count as duplicates. `false` switches a rule off."""

    exact: bool = True
    """Drop documents with the same text, ignoring differences in whitespace."""
    id: str | None = "source"
    """Drop documents with the same id: `"source"` compares ids within each source, `"all"` across all sources."""
    url: bool = True
    """Drop documents with the same URL, in all sources, since they are versions of one page."""
    minhash: MinHash | None = MinHash()
    """Drop near-duplicates."""

    @property
    def n_keys(self) -> int:
        """Number of key columns."""
        return FIRST_BAND + (self.minhash.buckets if self.minhash else 0)


def id_seed(source: str) -> int:
    """The hash seed for the ids of a source."""
    return int(hash_strings(pa.array([source]), ID)[0])


@lru_cache(maxsize=8)
def signer(dedup: Dedup) -> Signer:
    """The signer of these settings, made once per process."""
    return Signer(dedup)


class Signer:
    """Computes the keys of documents: a pure function of their texts, ids and URLs."""

    def __init__(self, dedup: Dedup) -> None:
        self._dedup = dedup
        if dedup.minhash is not None:
            self._functions = coefficients(dedup.minhash.buckets * dedup.minhash.hashes_per_bucket)

    def sign(self, batch: pa.RecordBatch, source: str) -> NDArray[np.uint64]:
        """The keys of the rows of `batch`, which has columns text, id and url: uint64, shape (rows, `Dedup.n_keys`).

        `source` is the name of their source.
        """
        keys = np.zeros((batch.num_rows, self._dedup.n_keys), dtype=np.uint64)
        if self._dedup.exact:
            keys[:, TEXT] = hash_texts(batch.column("text"), TEXT)
        if self._dedup.id:
            keys[:, ID] = hash_strings(batch.column("id"), ID if self._dedup.id == ALL else id_seed(source))
        if self._dedup.url:
            keys[:, URL] = hash_strings(batch.column("url"), URL)
        if minhash := self._dedup.minhash:
            texts, bands = string_buffers(batch.column("text")), keys[:, FIRST_BAND:]
            hash_bands(
                texts,
                normalization_table(split_unspaced=True),
                self._functions,
                minhash.ngrams,
                minhash.hashes_per_bucket,
                FIRST_BAND,
                bands,
            )
        return keys

"""What dedup compares: one row of 64-bit keys per document.

Columns: 0 the whole text (whitespace runs as one space), 1 the id, 2 the url, then one per MinHash bucket: the hash of
that bucket's minimum hashes over datatrove's word n-grams. 0 means "has none" and never matches. Each column has its
own hash seed, so all columns share one table. Two unequal 64-bit keys among 3e8 coincide with probability 2e-3 at
worst.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

TEXT, ID, URL, FIRST_BAND = range(4)
REASONS = ("exact_duplicate", "id_duplicate", "url_duplicate", "near_duplicate")


@dataclass(frozen=True)
class MinHash:
    """MinHash over word n-grams; datatrove's defaults: a pair at Jaccard 0.8 shares a band with probability 0.92."""

    ngrams: int = 5
    buckets: int = 14
    hashes_per_bucket: int = 8


@dataclass(frozen=True)
class Dedup:
    """The `[dedup]` table. `url` covers the document id too: both name the same page."""

    exact: bool = True
    url: bool = True
    minhash: MinHash | None = MinHash()

    @property
    def n_keys(self) -> int:
        return FIRST_BAND + (self.minhash.buckets if self.minhash else 0)


def hash_strings(values: Sequence[str | None], seed: int) -> NDArray[np.uint64]:
    """64-bit keys of strings, never 0; None and the empty string have none (0). uint64, shape (len(values),)."""
    return np.array([(xxh3_64_intdigest(v, seed) or 1) if v else 0 for v in values], dtype=np.uint64)


@lru_cache(maxsize=8)
def signer(dedup: Dedup) -> Signer:
    """The signer of these settings, kept for the life of the process."""
    return Signer(dedup)


class Signer:
    """Makes the keys of a batch, the bands with datatrove's MinHash signature step."""

    def __init__(self, dedup: Dedup) -> None:
        self._dedup = dedup
        if dedup.minhash is not None:
            self._bands = _Bands(dedup.minhash)

    def sign(self, batch: pa.RecordBatch) -> NDArray[np.uint64]:
        """Keys of the rows of `batch` (columns text, id, url): uint64, shape (rows, `Dedup.n_keys`)."""
        keys = np.zeros((batch.num_rows, self._dedup.n_keys), dtype=np.uint64)
        texts = batch.column("text").to_pylist()
        if self._dedup.exact:
            keys[:, TEXT] = hash_strings([" ".join(text.split()) for text in texts], TEXT)
        if self._dedup.url:
            keys[:, ID] = hash_strings(batch.column("id").to_pylist(), ID)
            keys[:, URL] = hash_strings(batch.column("url").to_pylist(), URL)
        if self._dedup.minhash is not None:
            for row, text in enumerate(texts):
                keys[row, FIRST_BAND:] = self._bands.of(text)
        return keys


class _Bands:
    """datatrove's first MinHash stage, without its files: text to one key per bucket."""

    def __init__(self, minhash: MinHash) -> None:
        from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

        from gpts_data.pipelines.words import ChunkWords

        config = MinhashConfig(
            n_grams=minhash.ngrams, num_buckets=minhash.buckets, hashes_per_bucket=minhash.hashes_per_bucket
        )
        self._step = MinhashDedupSignature("memory://signatures", config, language=ChunkWords())
        self._n_buckets = minhash.buckets

    def of(self, text: str) -> list[int]:
        """One key per bucket; all 0 for a text shorter than one n-gram, as datatrove leaves such texts alone."""
        shingles = self._step.get_shingles(text)
        if shingles.size == 0:
            return [0] * self._n_buckets
        signature = np.array(self._step.get_signature(shingles), dtype="<u8")
        return [xxh3_64_intdigest(band.tobytes(), FIRST_BAND + i) or 1 for i, band in enumerate(signature)]

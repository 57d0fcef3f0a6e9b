"""How many documents of a source repeat others, estimated from a sample of it.

Two documents are found to be the same only where the sample has both. Of a tenth of a source it has both copies with a
probability of 1/100, so a source with 30% copies that are far apart seems to have 3%. Therefore the sizes of the
clusters of equal documents are fitted: a cluster of c copies, scattered over the source, is in j pieces of a sample of
the share q with the binomial probability B(j; c, q). The numbers of clusters of each size that make the observed
numbers most likely (Poisson) follow by expectation maximization, as in Richardson-Lucy deconvolution. Copies inside one
piece of the sample are near each other; they are seen as they are and counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE, DedupState, SimilarityTest, Verdicts, find_shared_keys
from gpts_data.pipelines.dedup.signatures import REASONS

UNLIMITED = 1 << 62  # a token budget that no source fills
STEPS = 1000  # of expectation maximization
FEW = 0.1  # first guess for clusters of several copies: they stay few unless the sample shows them
RESAMPLES = 100  # of the interval
INTERVAL = (2.5, 97.5)  # percentiles
RULE_OF_THREE = 3.0  # what was seen 0 times is expected at most so often, with 95% confidence


@dataclass(frozen=True)
class Repeats:
    """The clusters of equal or nearly equal documents of a source."""

    near: float
    """Share of the documents that repeat an earlier one nearby, in the same piece of the sample."""
    sizes: NDArray[np.float64]
    """Sizes of clusters: places, far from each other, where the source has the same document."""
    clusters: NDArray[np.float64]
    """Estimated number of clusters of each size in the whole source."""

    def share(self, part: float = 1.0) -> float:
        """Share of duplicates among the documents when `part` of the source is read, spread over all of it."""
        part = min(max(part, 1e-9), 1.0)
        read = part * float(self.sizes @ self.clusters)
        distinct = float(-np.expm1(self.sizes * math.log1p(-part)) @ self.clusters) if part < 1 else self.clusters.sum()
        return 1 - (1 - self.near) * min(distinct / read, 1.0) if read else 0.0


@dataclass(frozen=True)
class Sightings:
    """The duplicates that a sample shows."""

    near: float
    """Share of the documents that repeat one of their piece."""
    observed: NDArray[np.float64]
    """observed[j]: clusters of which j pieces of the sample have a document."""
    reasons: dict[str, int]
    """Duplicates in the sample by reason."""
    representatives: NDArray[np.int64]
    """Ordinals of the documents that repeat no earlier one."""

    def fit(self, sampled: float) -> Repeats:
        """The clusters of the whole source, of which the sample is the share `sampled`."""
        return Repeats(self.near, *_fit(self.observed, sampled))

    def interval(self, sampled: float, *, unseen: bool) -> tuple[float, float]:
        """95% interval of `Repeats.share()`. `unseen`: its upper end includes pairs too rare to be in the sample."""
        documents = float(np.arange(len(self.observed)) @ self.observed)
        if sampled >= 1 or not documents:
            share = self.fit(sampled).share()
            return share, share
        rng = np.random.default_rng(0)
        draws = (Repeats(self.near, *_fit(rng.poisson(self.observed).astype(float), sampled)) for _ in range(RESAMPLES))
        low, high = np.percentile([draw.share() for draw in draws], INTERVAL)
        rare = RULE_OF_THREE / sampled / documents if unseen else 0.0  # 3 / sampled^2 of all documents / sampled
        return float(low), min(max(float(high), rare), 1.0)


def find_repeats(keys: Sequence[NDArray[np.uint64]], columns: int, similar: SimilarityTest | None = None) -> Sightings:
    """The duplicates in a sample. keys: for each of its pieces uint64, shape (documents, `columns`)."""
    all_keys = np.concatenate([np.empty((0, columns), np.uint64), *keys])
    verdicts = judge(all_keys, similar)
    roots = np.arange(len(all_keys))
    is_duplicate = verdicts.codes >= FIRST_DUPLICATE
    roots[is_duplicate] = verdicts.duplicate_of
    pieces = np.repeat(np.arange(len(keys)), [len(piece) for piece in keys])
    places = np.unique(roots * max(len(keys), 1) + pieces)
    pieces_of_cluster = np.unique(places // max(len(keys), 1), return_counts=True)[1]
    counts = np.bincount(verdicts.codes[is_duplicate] - FIRST_DUPLICATE, minlength=len(REASONS)).tolist()
    return Sightings(
        near=1 - len(places) / max(len(all_keys), 1),
        observed=np.bincount(pieces_of_cluster, minlength=2).astype(np.float64),
        reasons=dict(zip(REASONS, counts, strict=True)),
        representatives=np.flatnonzero(~is_duplicate),
    )


def judge(keys: NDArray[np.uint64], similar: SimilarityTest | None) -> Verdicts:
    """The verdicts of deduplication on documents with these keys, all of which are within the budget."""
    shared = find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64))
    none = np.zeros(len(keys), dtype=np.bool_)
    tokens = np.ones(len(keys), dtype=np.uint32)
    return DedupState(shared.n_groups, keys.shape[1]).decide(shared, tokens, none, none, UNLIMITED, similar)


def _fit(observed: NDArray[np.float64], sampled: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sizes of clusters, and how many the source has of each."""
    if sampled >= 1:
        return np.arange(len(observed), dtype=np.float64), observed
    sizes = _sizes(len(observed) / sampled)
    seen = np.flatnonzero(observed)
    seen = seen[seen > 0]
    chances = _binomial(seen, sizes, sampled)
    found = -np.expm1(sizes * math.log1p(-sampled))  # probability that the sample has any document of the cluster
    clusters = np.where(sizes == 1, 1.0, FEW / sizes**2) * observed.sum() / sampled
    for _ in range(STEPS if len(seen) else 0):
        expected = np.maximum(chances @ clusters, 1e-300)
        clusters = clusters / found * ((observed[seen] / expected) @ chances)
    return sizes, clusters


def _sizes(largest: float) -> NDArray[np.float64]:
    """1, 2, 3, 4, then ever wider steps of a fourth."""
    sizes = [1.0]
    while sizes[-1] < largest:
        sizes.append(sizes[-1] + max(sizes[-1] // 4, 1))
    return np.array(sizes)


def _binomial(n_seen: NDArray[np.int64], sizes: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Probability that `n_seen` (rows) of so many copies (columns) are in a sample of this share of them."""
    chances = np.zeros((len(n_seen), len(sizes)))
    for row, n in enumerate(n_seen.tolist()):
        for column, size in enumerate(sizes.tolist()):
            if n <= size:
                choose = math.lgamma(size + 1) - math.lgamma(n + 1) - math.lgamma(size - n + 1)
                chances[row, column] = math.exp(choose + n * math.log(share) + (size - n) * math.log1p(-share))
    return chances

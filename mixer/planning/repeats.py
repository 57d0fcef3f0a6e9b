"""How many documents of a file or source repeat others, estimated from a sample of it.

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
    """The duplicates that some pieces of a sample show."""

    near: float
    """Share of the documents that repeat one of their piece."""
    observed: NDArray[np.float64]
    """observed[j]: clusters of which j pieces have a document."""

    @property
    def documents(self) -> float:
        """Documents in these pieces."""
        return float(np.arange(len(self.observed)) @ self.observed) / max(1 - self.near, 1e-9)

    def fit(self, sampled: float, rng: np.random.Generator | None = None) -> Repeats:
        """The clusters in all of the text of which these pieces are the share `sampled`.

        With `rng`, from a resample of the observed clusters, where these are uncertain.
        """
        observed = self.observed if rng is None or sampled >= 1 else rng.poisson(self.observed).astype(np.float64)
        return Repeats(self.near, *_fit(observed, sampled))


@dataclass(frozen=True)
class SampleRepeats:
    """The duplicates in the sample of a source."""

    groups: dict[str, Sightings]
    """By file or other group of pieces: documents that repeat one of the same group."""
    across: Sightings
    """In how many groups the documents are."""
    reasons: dict[str, int]
    """Duplicates by reason."""
    representatives: NDArray[np.int64]
    """Ordinals of the documents that repeat no earlier one."""


def find_repeats(
    keys: Sequence[NDArray[np.uint64]], columns: int, groups: Sequence[str], similar: SimilarityTest | None = None
) -> SampleRepeats:
    """The duplicates in a sample.

    keys: for each of its pieces uint64, shape (documents, `columns`). groups: for each piece the group it belongs to.
    """
    all_keys = np.concatenate([np.empty((0, columns), np.uint64), *keys])
    verdicts = judge(all_keys, similar)
    roots = np.arange(len(all_keys))
    is_duplicate = verdicts.codes >= FIRST_DUPLICATE
    roots[is_duplicate] = verdicts.duplicate_of
    sizes = [len(piece) for piece in keys]
    names = sorted(set(groups))
    group_of = np.repeat(np.array([names.index(group) for group in groups], dtype=np.int64), sizes)
    pieces = np.repeat(np.arange(len(keys)), sizes)
    counts = np.bincount(verdicts.codes[is_duplicate] - FIRST_DUPLICATE, minlength=len(REASONS)).tolist()
    sightings = {name: _sightings(roots[group_of == i], pieces[group_of == i]) for i, name in enumerate(names)}
    return SampleRepeats(
        groups=sightings,
        across=Sightings(0.0, _sightings(roots, group_of).observed),
        reasons=dict(zip(REASONS, counts, strict=True)),
        representatives=np.flatnonzero(~is_duplicate),
    )


def _sightings(roots: NDArray[np.int64], pieces: NDArray[np.int64]) -> Sightings:
    """roots, pieces: for each document its cluster and its piece."""
    places = np.unique(np.stack([roots, pieces]), axis=1)
    pieces_of_cluster = np.unique(places[0], return_counts=True)[1]
    near = 1 - places.shape[1] / max(len(roots), 1)
    return Sightings(near, np.bincount(pieces_of_cluster, minlength=2).astype(np.float64))


def judge(keys: NDArray[np.uint64], similar: SimilarityTest | None) -> Verdicts:
    """The verdicts of deduplication on documents with these keys, all of which are within the budget."""
    shared = find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64))
    none = np.zeros(len(keys), dtype=np.bool_)
    tokens = np.ones(len(keys), dtype=np.uint32)
    return DedupState(shared.n_groups, keys.shape[1]).decide(shared, tokens, none, none, UNLIMITED, similar)


def _fit(observed: NDArray[np.float64], sampled: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sizes of clusters, and how many the source has of each."""
    if sampled >= 1 or not observed[2:].any():  # nothing shows that clusters are larger than seen
        observed = observed if sampled >= 1 else observed / sampled
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

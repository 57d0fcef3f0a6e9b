"""How many documents of a file or source repeat others, and how many tokens these have, estimated from a sample of it.

Two documents are found to be the same only where the sample has both. Of a tenth of a source it has both copies with a
probability of 1/100, so a source with 30% copies that are far apart seems to have 3%. Therefore the sizes of the
clusters of equal documents are fitted: a cluster of c copies, scattered over the source, is in j pieces of a sample of
the share q with the binomial probability B(j; c, q). The numbers of clusters of each size that make the observed
numbers most likely (Poisson) follow by expectation maximization, as in Richardson-Lucy deconvolution. Copies inside one
piece of the sample are near each other; they are seen as they are and counted apart.

Duplicates are seldom as long as other documents: of the bundled sample, 9.7% of the documents of fineweb-edu are
duplicates and have 2.7% of the tokens. So all this is done twice, with each document counted as one and as its tokens.
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
    """The clusters of equal or nearly equal documents of a source, counted in documents or in tokens."""

    near: float
    """Share of the documents or tokens that repeat an earlier one nearby, in the same piece of the sample."""
    sizes: NDArray[np.float64]
    """Sizes of clusters: places, far from each other, where the source has the same document."""
    clusters: NDArray[np.float64]
    """Estimated number of clusters of each size in the whole source, or of the tokens of their first documents."""

    def share(self, part: float = 1.0) -> float:
        """Share of duplicates in what is read when that is `part` of the source, spread over all of it."""
        part = min(max(part, 1e-9), 1.0)
        read = part * float(self.sizes @ self.clusters)
        distinct = float(-np.expm1(self.sizes * math.log1p(-part)) @ self.clusters) if part < 1 else self.clusters.sum()
        return max(1 - (1 - self.near) * min(distinct / read, 1.0), 0.0) if read else 0.0


@dataclass(frozen=True)
class Sightings:
    """The duplicates that some pieces of a sample show, counted in documents or in tokens."""

    near: float
    """Share of the documents or tokens that repeat one of their piece. For tokens it is slightly less or more, so that
    `share()` is exact where the sample is the whole source: near-duplicates are not all equally long."""
    observed: NDArray[np.float64]
    """observed[j]: clusters of which j pieces have a document, or the tokens of their first documents."""
    unit: NDArray[np.float64] | float = 1.0
    """For tokens: unit[j] is the sum of their squares over their sum, so that observed[j] / unit[j] has the variance of
    a number of documents."""

    @property
    def total(self) -> float:
        """Documents or tokens in these pieces."""
        return float(np.arange(len(self.observed)) @ self.observed) / max(1 - self.near, 1e-9)

    def fit(self, sampled: float, rng: np.random.Generator | None = None) -> Repeats:
        """The clusters in all of the text of which these pieces are the share `sampled`.

        With `rng`, from a resample of the observed clusters, where these are uncertain.
        """
        observed = self.observed
        if rng is not None and sampled < 1:
            observed = np.asarray(rng.poisson(observed / self.unit) * self.unit, dtype=np.float64)
        return Repeats(self.near, *_fit(observed, sampled))


@dataclass(frozen=True)
class GroupedSightings:
    """The duplicates in the sample of a source, counted in documents or in tokens."""

    groups: dict[str, Sightings]
    """By file or other group of pieces: documents that repeat one of the same group."""
    across: Sightings
    """In how many groups the documents are."""


@dataclass(frozen=True)
class SampleRepeats:
    """The duplicates in the sample of a source."""

    documents: GroupedSightings
    tokens: GroupedSightings
    codes: NDArray[np.uint8]
    """The verdict on each document: from FIRST_DUPLICATE on, it repeats an earlier one."""

    @property
    def representatives(self) -> NDArray[np.int64]:
        """Ordinals of the documents that repeat no earlier one."""
        return np.flatnonzero(self.codes < FIRST_DUPLICATE)

    def reasons(self, documents: slice = slice(None)) -> dict[str, int]:
        """Duplicates among these documents by reason."""
        codes = self.codes[documents]
        counts = np.bincount(codes[codes >= FIRST_DUPLICATE] - FIRST_DUPLICATE, minlength=len(REASONS)).tolist()
        return {reason: count for reason, count in zip(REASONS, counts, strict=True) if count}


def find_repeats(
    keys: Sequence[NDArray[np.uint64]],
    columns: int,
    groups: Sequence[str],
    tokens: NDArray[np.float64],
    similar: SimilarityTest | None = None,
) -> SampleRepeats:
    """The duplicates in a sample.

    keys: for each of its pieces uint64, shape (documents, `columns`). groups: for each piece the group it belongs to.
    tokens: training tokens of each document of all pieces.
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

    def grouped(amounts: NDArray[np.float64]) -> GroupedSightings:
        members = {name: group_of == i for i, name in enumerate(names)}
        sightings = {name: _sightings(roots[rows], pieces[rows], amounts[rows]) for name, rows in members.items()}
        first = np.sort(np.unique(np.stack([roots, group_of]), axis=1, return_index=True)[1])  # of cluster and group
        return GroupedSightings(sightings, _sightings(roots[first], group_of[first], amounts[first]))

    return SampleRepeats(grouped(np.ones(len(roots))), grouped(tokens), verdicts.codes)


def _sightings(roots: NDArray[np.int64], pieces: NDArray[np.int64], amounts: NDArray[np.float64]) -> Sightings:
    """roots, pieces, amounts: for each document its cluster, its piece, and 1 or its tokens."""
    places = np.unique(np.stack([roots, pieces]), axis=1)
    clusters, first = np.unique(roots, return_index=True)
    n_pieces = np.bincount(np.searchsorted(clusters, places[0]), minlength=len(clusters))
    observed = np.bincount(n_pieces, amounts[first], minlength=2).astype(np.float64)
    squares = np.bincount(n_pieces, amounts[first] ** 2, minlength=2)
    total = float(amounts.sum())
    near = 1 - float(np.arange(len(observed)) @ observed) / total if total else 0.0
    return Sightings(near, observed, np.divide(squares, observed, out=np.ones_like(observed), where=observed > 0))


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

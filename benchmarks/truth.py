"""Exact Jaccard over lower-cased 5-grams of whitespace words, of all pairs of documents that are near."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

N_GRAM = 5


def ngrams(text: str) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[i : i + N_GRAM]) for i in range(len(words) - N_GRAM + 1)]


class Truth:
    """Which earlier documents each one is near, by exact Jaccard."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._sets = [np.unique(np.array([hash(gram) for gram in ngrams(text)], np.int64)) for text in texts]
        self._best = np.zeros(len(texts))
        for later, earlier in _candidates(self._sets):
            self._best[later] = max(self._best[later], self.jaccard(later, earlier))

    def jaccard(self, row: int, other: int) -> float:
        one, two = self._sets[row], self._sets[other]
        common = len(np.intersect1d(one, two, assume_unique=True))
        return common / max(len(one) + len(two) - common, 1)

    def best(self, row: int) -> float:
        """With any earlier document; exact from 0.5 on."""
        return float(self._best[row])


def _candidates(sets: Sequence[NDArray[np.int64]]) -> Iterator[tuple[int, int]]:
    """All pairs (later, earlier) that may be at J >= 0.5.

    Two such sets have an element in common among the rarest half and one of each (prefix filtering, Chaudhuri 2006), in
    any one order of all elements; so only those are looked up.
    """
    _, names, counts = np.unique(np.concatenate(sets), return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    many = counts[np.argsort(counts, kind="stable")] > 1
    holders: dict[int, list[int]] = defaultdict(list)
    for row, ranks in enumerate(np.split(rank[names], np.cumsum([len(grams) for grams in sets])[:-1])):
        half = np.sort(ranks)[: len(ranks) - -(-len(ranks) // 2) + 1]
        found: set[int] = set()
        for element in half[many[half]].tolist():
            found.update(holders[element])
            holders[element].append(row)
        for earlier in found:
            if 0.5 * len(ranks) <= len(sets[earlier]) <= 2 * len(ranks):
                yield row, earlier

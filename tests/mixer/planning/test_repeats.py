"""Duplicates that are far apart are estimated from a sample in which hardly any shows."""

from __future__ import annotations

import numpy as np
import pytest

from gpts_data.mixer.planning.repeats import Sightings, find_repeats

COLUMNS = 17


def sightings(clusters: dict[int, int], sampled: float, seed: int = 0) -> Sightings:
    """What a sample shows of so many clusters by their size, whose documents lie scattered over the source."""
    rng = np.random.default_rng(seed)
    seen = np.concatenate([rng.binomial(size, sampled, count) for size, count in clusters.items()])
    observed = np.bincount(seen).astype(float)
    observed[0] = 0
    return Sightings(0.0, observed, {}, np.arange(0))


@pytest.mark.parametrize("sampled", [0.5, 0.16])
@pytest.mark.parametrize("clusters", [{1: 20_000, 2: 10_000}, {1: 20_000, 4: 3000}, {1: 10_000, 2: 2000, 50: 100}])
def test_the_share_of_duplicates_is_that_of_the_whole_source(clusters: dict[int, int], sampled: float) -> None:
    documents = sum(size * count for size, count in clusters.items())
    share = 1 - sum(clusters.values()) / documents
    seen = sightings(clusters, sampled)
    shown = 1 - seen.observed.sum() / (np.arange(len(seen.observed)) @ seen.observed)
    low, high = seen.interval(sampled, unseen=True)
    assert shown < share - 0.01  # the sample alone shows too few
    assert seen.fit(sampled).share() == pytest.approx(share, abs=0.04)
    assert low - 0.02 <= share <= high + 0.02


def test_a_part_of_the_source_has_fewer_duplicates_than_the_whole() -> None:
    repeats = sightings({1: 20_000, 2: 10_000}, 0.5).fit(0.5)
    assert repeats.share(0.5) == pytest.approx(0.125, abs=0.02)  # 5,000 of 20,000
    assert repeats.share(1e-6) == pytest.approx(0, abs=1e-3)


def test_the_interval_says_what_a_small_sample_cannot_show() -> None:
    seen = sightings({1: 40_000}, 0.01)
    assert seen.interval(0.01, unseen=False) == pytest.approx((0, 0), abs=1e-3)
    low, high = seen.interval(0.01, unseen=True)
    assert low < 1e-3 and high > 0.5
    assert seen.fit(0.01).share() == pytest.approx(0, abs=1e-3)


def test_a_sample_of_everything_is_certain() -> None:
    seen = sightings({1: 100, 2: 50}, 1.0)
    assert seen.fit(1.0).share() == pytest.approx(0.25) and seen.interval(1.0, unseen=True) == pytest.approx(
        (0.25, 0.25)
    )


def test_copies_side_by_side_are_not_extrapolated() -> None:
    """Each document is followed by its copy; a tenth of the pieces is in the sample."""
    rng = np.random.default_rng(0)
    pieces = [np.repeat(rng.integers(1, 2**63, (50, COLUMNS), dtype=np.uint64), 2, axis=0) for _ in range(20)]
    seen = find_repeats(pieces, COLUMNS)
    assert seen.near == 0.5 and seen.reasons["exact_duplicate"] == 1000
    assert seen.fit(0.1).share() == pytest.approx(0.5)


def test_a_source_without_documents_has_no_duplicates() -> None:
    seen = find_repeats([], COLUMNS)
    assert seen.fit(0.5).share() == 0 and seen.interval(0.5, unseen=True) == (0, 0)

"""Duplicates that are far apart are estimated from a sample in which hardly any shows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gpts_data.mixer.planning.repeats import GroupedSightings, SampleRepeats, Sightings, find_repeats
from gpts_data.mixer.planning.source_repeats import TOGETHER, SourceRepeats

COLUMNS = 17


def sightings(clusters: dict[int, int], sampled: float, seed: int = 0) -> Sightings:
    """What a sample shows of so many clusters by their size, whose documents lie scattered over the source."""
    rng = np.random.default_rng(seed)
    seen = np.concatenate([rng.binomial(size, sampled, count) for size, count in clusters.items()])
    observed = np.bincount(seen).astype(float)
    observed[0] = 0
    return Sightings(0.0, observed)


def one_file(seen: Sightings, sampled: float) -> SourceRepeats:
    """The duplicates of a source of one file."""
    across = Sightings(0.0, np.array([0.0, seen.observed.sum()]))
    return SourceRepeats(GroupedSightings({"a": seen}, across), sampled, {"a": sampled}, all_files=True)


def repeats_of(
    pieces: list[NDArray[np.uint64]], groups: list[str], tokens: NDArray[np.float64] | None = None
) -> SampleRepeats:
    """The duplicates in a sample of documents with so many tokens, by default one each."""
    documents = sum(len(piece) for piece in pieces)
    return find_repeats(pieces, COLUMNS, groups, np.ones(documents) if tokens is None else tokens)


@pytest.mark.parametrize("sampled", [0.5, 0.16])
@pytest.mark.parametrize("clusters", [{1: 20_000, 2: 10_000}, {1: 20_000, 4: 3000}, {1: 10_000, 2: 2000, 50: 100}])
def test_the_share_of_duplicates_is_that_of_the_whole_source(clusters: dict[int, int], sampled: float) -> None:
    documents = sum(size * count for size, count in clusters.items())
    share = 1 - sum(clusters.values()) / documents
    seen = sightings(clusters, sampled)
    shown = 1 - seen.observed.sum() / (np.arange(len(seen.observed)) @ seen.observed)
    low, high = one_file(seen, sampled).interval(unseen=True)
    assert shown < share - 0.01  # the sample alone shows too few
    assert seen.fit(sampled).share() == pytest.approx(share, abs=0.04)
    assert low - 0.02 <= share <= high + 0.02


def test_a_part_of_the_source_has_fewer_duplicates_than_the_whole() -> None:
    repeats = sightings({1: 20_000, 2: 10_000}, 0.5).fit(0.5)
    assert repeats.share(0.5) == pytest.approx(0.125, abs=0.02)  # 5,000 of 20,000
    assert repeats.share(1e-6) == pytest.approx(0, abs=1e-3)


def test_the_interval_says_what_a_small_sample_cannot_show() -> None:
    seen = sightings({1: 40_000}, 0.01)
    assert one_file(seen, 0.01).interval(unseen=False) == pytest.approx((0, 0), abs=1e-3)
    low, high = one_file(seen, 0.01).interval(unseen=True)
    assert low < 1e-3 and high > 0.5
    assert seen.fit(0.01).share() == pytest.approx(0, abs=1e-3)


def test_a_sample_of_everything_is_certain() -> None:
    seen = sightings({1: 100, 2: 50}, 1.0)
    assert seen.fit(1.0).share() == pytest.approx(0.25)
    assert one_file(seen, 1.0).interval(unseen=True) == pytest.approx((0.25, 0.25))


def test_copies_side_by_side_are_not_extrapolated() -> None:
    """Each document is followed by its copy; a tenth of the pieces is in the sample."""
    rng = np.random.default_rng(0)
    pieces = [np.repeat(rng.integers(1, 2**63, (50, COLUMNS), dtype=np.uint64), 2, axis=0) for _ in range(20)]
    found = repeats_of(pieces, ["a"] * len(pieces))
    assert found.documents.groups["a"].near == 0.5 and found.reasons() == {"exact_duplicate": 1000}
    assert found.documents.groups["a"].fit(0.1).share() == pytest.approx(0.5)


def test_a_source_without_documents_has_no_duplicates() -> None:
    repeats = SourceRepeats(repeats_of([], []).documents, 0.5, {}, all_files=False)
    assert repeats.share() == 0 and repeats.interval(unseen=True) == (0, 0)


def pieces_of(keys: NDArray[np.uint64], sampled: float, seed: int) -> list[NDArray[np.uint64]]:
    """A sample of a file in pieces of 50 documents."""
    rng = np.random.default_rng(seed)
    pieces = [keys[start : start + 50] for start in range(0, len(keys), 50)]
    return [pieces[i] for i in np.sort(rng.permutation(len(pieces))[: round(len(pieces) * sampled)])]


def test_duplicates_of_one_file_are_estimated_for_that_file() -> None:
    """Half of the documents of `a` are copies of others of it; of `b`, which is larger and sampled more, none."""
    rng = np.random.default_rng(0)
    distinct = rng.integers(1, 2**63, (20_000, COLUMNS), dtype=np.uint64)
    a = pieces_of(rng.permutation(np.repeat(distinct[:2500], 2, axis=0)), 0.25, 1)
    b = pieces_of(distinct[5000:], 0.5, 2)
    groups = ["a"] * len(a) + ["b"] * len(b)
    sampled = {"a": 0.25, "b": 0.5}
    repeats = SourceRepeats(repeats_of([*a, *b], groups).documents, 0.44, sampled, all_files=True)
    assert repeats.share_of_file("a", 1.0, 0.25) == pytest.approx(0.5, abs=0.05)
    assert repeats.share_of_file("b", 1.0, 0.75) == 0
    assert repeats.share() == pytest.approx(0.5 * 5000 / 20_000, abs=0.02)
    low, high = repeats.interval(unseen=False)
    assert low < 0.5 * 5000 / 20_000 < high


def test_copies_in_other_files_count_too() -> None:
    rng = np.random.default_rng(0)
    distinct = rng.integers(1, 2**63, (6000, COLUMNS), dtype=np.uint64)
    files = [pieces_of(distinct, 0.4, seed) for seed in range(2)]
    found = repeats_of([*files[0], *files[1]], ["a"] * len(files[0]) + ["b"] * len(files[1]))
    repeats = SourceRepeats(found.documents, 0.4, {"a": 0.4, "b": 0.4}, all_files=True)
    assert repeats.share() == pytest.approx(0.5, abs=0.05)
    assert repeats.share_of_file("a", 1.0, 0.5) == pytest.approx(0.25, abs=0.05)


def test_a_file_that_is_not_in_the_sample_is_like_the_others() -> None:
    seen = Sightings(0.0, np.array([0, 80.0]))
    found = GroupedSightings({TOGETHER: Sightings(0.2, np.array([0, 80.0]))}, seen)
    repeats = SourceRepeats(found, 0.1, {}, all_files=False)
    assert repeats.share_of_file("unknown", 1.0, 1.0) == pytest.approx(0.2)


def test_duplicates_that_are_short_have_few_tokens() -> None:
    """A third of the documents are copies, a tenth as long as the others; half of the pieces is in the sample."""
    rng = np.random.default_rng(0)
    distinct = rng.integers(1, 2**63, (16_000, COLUMNS), dtype=np.uint64)
    lengths = np.where(np.arange(len(distinct)) < 8000, 10.0, 100.0)  # of the first half there are copies
    numbers = rng.permutation(np.concatenate([np.arange(len(distinct)), np.arange(8000)]))
    pieces = [numbers[start : start + 50] for start in range(0, len(numbers), 50)]
    share = 8000 * 10 / lengths[numbers].sum()
    for sampled, tolerance in ((0.5, 0.01), (1.0, 1e-9)):
        chosen = [pieces[i] for i in np.sort(rng.permutation(len(pieces))[: round(len(pieces) * sampled)])]
        tokens = lengths[np.concatenate(chosen)]
        found = repeats_of([distinct[piece] for piece in chosen], ["a"] * len(chosen), tokens)
        repeats = SourceRepeats(found.tokens, sampled, {"a": sampled}, all_files=True)
        assert repeats.share() == pytest.approx(share, abs=tolerance)
        low, high = repeats.interval(unseen=False)
        assert low - 1e-9 <= share <= high + 1e-9
        documents = SourceRepeats(found.documents, sampled, {"a": sampled}, all_files=True)
        assert documents.share() == pytest.approx(1 / 3, abs=0.02)


def test_near_duplicates_of_other_lengths_are_counted_as_they_are_in_a_sample_of_everything() -> None:
    """The kept documents have 100 and 7 tokens, in two files; their copies have others."""
    keys = np.arange(1, COLUMNS + 1, dtype=np.uint64) * np.array([[1], [1], [1], [100]], dtype=np.uint64)
    tokens = np.array([100.0, 30.0, 50.0, 7.0])
    found = repeats_of([keys[:1], keys[1:2], keys[2:]], ["a", "a", "b"], tokens)
    repeats = SourceRepeats(found.tokens, 1.0, {"a": 1.0, "b": 1.0}, all_files=True)
    assert repeats.share() == pytest.approx(80 / 187) and repeats.interval(unseen=False) == pytest.approx(
        (80 / 187,) * 2
    )

"""Greedy dedup against the rule written down plainly."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpts_data.pipelines.dedup.greedy import (
    CONTAMINATED,
    FIRST_DUPLICATE,
    HELD_OUT,
    MAX_DOCUMENTS,
    OVER_BUDGET,
    TRAIN,
    DedupState,
    SharedKeys,
    SimilarityTest,
    Verdicts,
    decide,
    find_shared_keys,
)
from gpts_data.pipelines.errors import DataError

N_KEYS = 6
KEY = st.sampled_from([0, 1, 2, 3, 1 << 16, 1 << 32, (1 << 63) + 12345, (1 << 63) - 1, (1 << 64) - 2, (1 << 64) - 1])


@dataclass(frozen=True)
class Documents:
    keys: NDArray[np.uint64]
    tokens: NDArray[np.uint32]
    held_out: NDArray[np.bool_]
    excluded: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, start: int, stop: int) -> Documents:
        mine = slice(start, stop)
        return Documents(self.keys[mine], self.tokens[mine], self.held_out[mine], self.excluded[mine])


@st.composite
def documents(draw: st.DrawFn, max_size: int = 40) -> Documents:
    n = draw(st.integers(0, max_size))
    rows = draw(st.lists(st.lists(KEY, min_size=N_KEYS, max_size=N_KEYS), min_size=n, max_size=n))
    return Documents(
        np.array(rows, np.uint64).reshape(n, N_KEYS),
        np.array(draw(st.lists(st.integers(1, 100), min_size=n, max_size=n)), np.uint32),
        np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_),
        np.array(draw(st.lists(st.sampled_from([False, False, True]), min_size=n, max_size=n)), np.bool_),
    )


Judged = list[tuple[int, int]]
"""Per document: code, and the twin's ordinal (0 when it has none)."""


def every(one: int, other: int) -> bool:
    return True


def some(one: int, other: int) -> bool:
    """Whether a band counts, at random but always the same."""
    return hash((one, other)) % 2 == 0


def plainly(
    documents: Documents, budget: int, owners: dict[int, int], seen: int = 0, similar: SimilarityTest = every
) -> Judged:
    """The rule: a document is dropped when it shares a key with an earlier one that is in the mix."""
    judged = []
    for d in range(len(documents)):
        keys = [int(key) for key in documents.keys[d]]
        shared = [c for c, key in enumerate(keys) if key and key in owners]
        matches = [c for c in shared if c < 3 or similar(seen + d, owners[keys[c]])]
        if budget <= 0:
            judged.append((OVER_BUDGET, 0))
        elif documents.excluded[d]:
            judged.append((CONTAMINATED, 0))
        elif matches:
            judged.append((FIRST_DUPLICATE + min(matches[0], 3), owners[keys[matches[0]]]))
        else:
            for key in keys:
                if key:
                    owners.setdefault(key, seen + d)
            judged.append((HELD_OUT if documents.held_out[d] else TRAIN, 0))
            budget -= 0 if documents.held_out[d] else int(documents.tokens[d])
    return judged


def judged(verdicts: Verdicts) -> Judged:
    twins = iter(verdicts.duplicate_of.tolist())
    return [(code, next(twins) if code >= FIRST_DUPLICATE else 0) for code in verdicts.codes.tolist()]


def decided(
    sources: list[Documents], budgets: list[int], cuts: list[int] | None = None, similar: SimilarityTest | None = None
) -> list[tuple[Judged, int]]:
    """The verdicts of each source and the tokens taken; its documents given in batches that end at `cuts`.

    A document's keys differ from one column to the next, as hashes with seeds of their own do.
    """
    keys = np.concatenate([source.keys for source in sources])
    shared = find_shared_keys(keys.ravel(), np.arange(keys.size, dtype=np.uint64))
    kept, found = DedupState(shared.n_groups, N_KEYS), []
    for source, budget in zip(sources, budgets, strict=True):
        ends = [*sorted(min(cut, len(source)) for cut in cuts or []), len(source)]
        verdicts: Judged = []
        taken = 0
        for start, stop in zip([0, *ends], ends, strict=False):
            bounds = np.searchsorted(shared.places, [kept.seen * N_KEYS, (kept.seen + stop - start) * N_KEYS])
            places = shared.places[slice(*bounds)] - np.uint64(kept.seen * N_KEYS)
            part = SharedKeys(places, shared.groups[slice(*bounds)], shared.n_groups)
            documents = source.part(start, stop)
            left = max(budget - taken, 0)
            result = kept.decide(part, documents.tokens, documents.held_out, documents.excluded, left, similar)
            verdicts += judged(result)
            taken += result.tokens
        found.append((verdicts, taken))
    return found


@given(documents(), documents(), st.integers(0, 1500), st.integers(0, 1500))
@settings(max_examples=200)
def test_it_is_the_rule_over_two_sources(one: Documents, other: Documents, first: int, second: int) -> None:
    owners = dict[int, int]()
    found = decided([one, other], [first, second])
    assert found[0][0] == plainly(one, first, owners)
    assert found[1][0] == plainly(other, second, owners, len(one))


@given(documents(), documents(), st.integers(0, 1500), st.integers(0, 1500), st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=300)
def test_a_band_counts_only_where_the_texts_are_similar(
    one: Documents, other: Documents, first: int, second: int, cuts: list[int]
) -> None:
    owners = dict[int, int]()
    found = decided([one, other], [first, second], cuts, some)
    assert found[0][0] == plainly(one, first, owners, 0, some)
    assert found[1][0] == plainly(other, second, owners, len(one), some)
    assert decided([one], [first], cuts, every) == decided([one], [first])


@given(documents(), st.integers(0, 1500), st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=200)
def test_batches_do_not_matter(documents: Documents, budget: int, cuts: list[int]) -> None:
    assert decided([documents], [budget], cuts) == decided([documents], [budget])


@given(documents(), st.integers(1, 1500))
def test_every_twin_is_in_the_mix_before_it_and_shares_the_key_of_the_reason(documents: Documents, budget: int) -> None:
    verdicts = decided([documents], [budget])[0][0]
    for d, (code, twin) in enumerate(verdicts):
        if code >= FIRST_DUPLICATE:
            assert twin < d
            assert verdicts[twin][0] in (TRAIN, HELD_OUT)
            columns = slice(3, None) if code == FIRST_DUPLICATE + 3 else slice(code - FIRST_DUPLICATE, code - 3)
            mine = {key for key in documents.keys[d, columns].tolist() if key}
            assert mine & set(documents.keys[twin].tolist())


@given(documents(), st.integers(0, 1500))
def test_the_budget_is_met_by_the_last_document_and_not_before(documents: Documents, budget: int) -> None:
    verdicts, taken = decided([documents], [budget])[0]
    lengths = [int(n) for n, (code, _) in zip(documents.tokens, verdicts, strict=True) if code == TRAIN]
    assert taken == sum(lengths)
    over = [code == OVER_BUDGET for code, _ in verdicts]
    assert over == sorted(over)
    if any(over):
        assert taken >= budget
    assert sum(lengths[:-1]) < budget or not lengths


@given(documents(), st.permutations(range(5)))
def test_shared_keys_are_those_of_two_documents_or_more(documents: Documents, order: list[int]) -> None:
    keys, places = documents.keys.ravel(), np.arange(documents.keys.size, dtype=np.uint64)
    parts = [keys[i::5] for i in order], [places[i::5] for i in order]
    shared = find_shared_keys(np.concatenate(parts[0]), np.concatenate(parts[1]))
    counts = Counter(key for key in keys.tolist() if key)
    assert shared.places.tolist() == [p for p, key in enumerate(keys.tolist()) if counts[key] > 1]
    found = dict(zip(shared.groups.tolist(), keys[shared.places].tolist(), strict=True))
    assert sorted(found) == list(range(shared.n_groups))
    assert [found[group] for group in shared.groups.tolist()] == keys[shared.places].tolist()
    assert list(dict.fromkeys(shared.groups.tolist())) == list(range(shared.n_groups))  # in the order of the documents


def test_what_is_over_budget_is_forgotten() -> None:
    keys, one, nobody = np.array([[1], [2], [2], [1]], np.uint64), np.ones(2, np.uint32), np.zeros(2, np.bool_)
    shared = find_shared_keys(keys.ravel(), np.arange(4, dtype=np.uint64))
    kept = DedupState(shared.n_groups, 1)
    parts = [SharedKeys(shared.places[i : i + 2] - np.uint64(i), shared.groups[i : i + 2], 2) for i in (0, 2)]
    assert kept.decide(parts[0], one, nobody, nobody, 1).codes.tolist() == [TRAIN, OVER_BUDGET]
    again = kept.decide(parts[1], one, nobody, nobody, 9)
    assert again.codes.tolist() == [TRAIN, FIRST_DUPLICATE]
    assert again.duplicate_of.tolist() == [0]


def test_template_families_do_not_chain() -> None:
    """b repeats a, c repeats only b: c stays, for b is not in the mix."""
    keys = np.array([[1, 0], [1, 2], [0, 2]], np.uint64)
    codes = decide(keys, np.ones(3, np.uint32), np.zeros(3, np.bool_), 100).codes
    assert codes.tolist() == [TRAIN, FIRST_DUPLICATE, TRAIN]


def test_ordinals_are_right_up_to_the_last_and_refused_after_it() -> None:
    """One more would have the ordinal 2^32 - 1, whose successor marks an empty slot."""
    state = DedupState(1, 1)
    state.seen = MAX_DOCUMENTS - 4
    shared = SharedKeys(np.arange(4, dtype=np.uint64), np.zeros(4, np.int64), 1)
    no, tokens = np.zeros(4, np.bool_), np.ones(4, np.uint32)
    verdicts = state.decide(shared, tokens, no, no, 100)
    assert verdicts.codes.tolist() == [TRAIN, *[FIRST_DUPLICATE] * 3]
    assert verdicts.duplicate_of.tolist() == [MAX_DOCUMENTS - 4] * 3
    with pytest.raises(DataError, match="found 4,294,967,295 documents that passed the filters, expected at most 4,29"):
        state.decide(SharedKeys(shared.places[:1], shared.groups[:1], 1), tokens[:1], no[:1], no[:1], 100)


def test_the_last_ordinal() -> None:
    state = DedupState(1, 1)
    state.seen = MAX_DOCUMENTS - 2
    shared = SharedKeys(np.array([1], np.uint64), np.zeros(1, np.int64), 1)
    no, tokens = np.zeros(2, np.bool_), np.ones(2, np.uint32)
    state.decide(shared, tokens, no, no, 100)
    assert state._first_holders.tolist() == [MAX_DOCUMENTS]


def test_the_first_shared_key_of_a_unit_is_tested_for_similarity_too() -> None:
    """The band of the only document of the second unit, which has no other shared key."""
    one, no = np.ones(1, np.uint32), np.zeros(1, np.bool_)
    band = SharedKeys(np.array([3], np.uint64), np.array([0], np.uint32), 1)
    for similar, code in ((True, FIRST_DUPLICATE + 3), (False, TRAIN)):
        pairs: list[tuple[int, int]] = []
        state = DedupState(1, 4)
        test = lambda *pair, similar=similar, pairs=pairs: pairs.append(pair) or similar  # noqa: E731
        assert state.decide(band, one, no, no, 9, test).codes.tolist() == [TRAIN]
        assert state.decide(band, one, no, no, 9, test).codes.tolist() == [code]
        assert pairs == [(1, 0)]

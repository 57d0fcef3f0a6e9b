"""Greedy dedup against the rule written down plainly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpts_data.pipelines.dedup import FIRST_DUPLICATE, HELD_OUT, OVER_BUDGET, TRAIN, Kept

N_KEYS = 6
BIG = (1 << 63) + 12345  # keys that meet in one slot at first, in the last one too: probing has to wrap around
KEY = st.sampled_from([0, 1, 2, 3, 1 << 16, 1 << 32, BIG, (1 << 16) - 1, (1 << 17) - 1, (1 << 64) - 1])


@dataclass(frozen=True)
class Documents:
    keys: NDArray[np.uint64]
    tokens: NDArray[np.uint32]
    held_out: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, start: int, stop: int) -> Documents:
        return Documents(self.keys[start:stop], self.tokens[start:stop], self.held_out[start:stop])


@st.composite
def documents(draw: st.DrawFn, max_size: int = 40) -> Documents:
    n = draw(st.integers(0, max_size))
    rows = draw(st.lists(st.lists(KEY, min_size=N_KEYS, max_size=N_KEYS), min_size=n, max_size=n))
    return Documents(
        np.array(rows, np.uint64).reshape(n, N_KEYS),
        np.array(draw(st.lists(st.integers(1, 100), min_size=n, max_size=n)), np.uint32),
        np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), np.bool_),
    )


Judged = list[tuple[int, int]]
"""Per document: code, and the twin's ordinal (0 when it has none)."""


def plainly(documents: Documents, budget: int, owners: dict[int, int], seen: int = 0) -> Judged:
    """The rule: a document is dropped when it shares a key with an earlier one that is in the mix."""
    judged = []
    for d in range(len(documents)):
        keys = [int(key) for key in documents.keys[d]]
        matches = [c for c, key in enumerate(keys) if key and key in owners]
        if budget <= 0:
            judged.append((OVER_BUDGET, 0))
        elif matches:
            judged.append((FIRST_DUPLICATE + min(matches[0], 3), owners[keys[matches[0]]]))
        else:
            for key in keys:
                if key:
                    owners.setdefault(key, seen + d)
            judged.append((HELD_OUT if documents.held_out[d] else TRAIN, 0))
            budget -= 0 if documents.held_out[d] else int(documents.tokens[d])
    return judged


def decided(documents: Documents, budget: int, kept: Kept, cuts: list[int] | None = None) -> tuple[Judged, int]:
    """The verdicts of one source, its documents given in batches that end at `cuts`; and the tokens taken."""
    judged: Judged = []
    taken = 0
    ends = [*sorted(min(cut, len(documents)) for cut in cuts or []), len(documents)]
    for start, stop in zip([0, *ends], ends, strict=False):
        part = documents.part(start, stop)
        verdicts = kept.decide(part.keys, part.tokens, part.held_out, max(budget - taken, 0))
        judged += zip(verdicts.codes.tolist(), verdicts.twins.tolist(), strict=True)
        taken += verdicts.tokens
    return judged, taken


@given(documents(), documents(), st.integers(0, 1500), st.integers(0, 1500))
@settings(max_examples=200)
def test_it_is_the_rule_over_two_sources(one: Documents, other: Documents, first: int, second: int) -> None:
    kept, owners = Kept(), dict[int, int]()
    assert decided(one, first, kept)[0] == plainly(one, first, owners)
    assert decided(other, second, kept)[0] == plainly(other, second, owners, len(one))


@given(documents(), st.integers(0, 1500), st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=200)
def test_batches_do_not_matter(documents: Documents, budget: int, cuts: list[int]) -> None:
    assert decided(documents, budget, Kept(), cuts) == decided(documents, budget, Kept())


@given(documents(), st.integers(1, 1500))
def test_every_twin_is_in_the_mix_before_it_and_shares_the_key_of_the_reason(documents: Documents, budget: int) -> None:
    judged, _ = decided(documents, budget, Kept())
    for d, (code, twin) in enumerate(judged):
        if code >= FIRST_DUPLICATE:
            assert twin < d
            assert judged[twin][0] in (TRAIN, HELD_OUT)
            columns = slice(3, None) if code == FIRST_DUPLICATE + 3 else slice(code - FIRST_DUPLICATE, code - 1)
            mine = {key for key in documents.keys[d, columns].tolist() if key}
            assert mine & set(documents.keys[twin].tolist())


@given(documents(), st.integers(0, 1500))
def test_the_budget_is_met_by_the_last_document_and_not_before(documents: Documents, budget: int) -> None:
    judged, taken = decided(documents, budget, Kept())
    lengths = [int(n) for n, (code, _) in zip(documents.tokens, judged, strict=True) if code == TRAIN]
    assert taken == sum(lengths)
    over = [code == OVER_BUDGET for code, _ in judged]
    assert over == sorted(over)
    if any(over):
        assert taken >= budget
    assert sum(lengths[:-1]) < budget or not lengths


def test_what_is_over_budget_is_forgotten() -> None:
    kept, one, nobody = Kept(), np.ones(2, np.uint32), np.zeros(2, np.bool_)
    assert kept.decide(np.array([[1], [2]], np.uint64), one, nobody, 1).codes.tolist() == [TRAIN, OVER_BUDGET]
    again = kept.decide(np.array([[2], [1]], np.uint64), one, nobody, 9)
    assert again.codes.tolist() == [TRAIN, FIRST_DUPLICATE]
    assert again.twins[1] == 0


def test_template_families_do_not_chain() -> None:
    """b repeats a, c repeats only b: c stays, for b is not in the mix."""
    keys = np.array([[1, 0], [1, 2], [0, 2]], np.uint64)
    codes = Kept().decide(keys, np.ones(3, np.uint32), np.zeros(3, np.bool_), 100).codes
    assert codes.tolist() == [TRAIN, FIRST_DUPLICATE, TRAIN]


@pytest.mark.parametrize("batch", [1, 1000, 40_000])
def test_the_table_grows_without_forgetting(batch: int) -> None:
    n = 40_000 if batch > 1 else 300
    keys = np.random.default_rng(1).integers(1, 1 << 63, size=(n, 5), dtype=np.uint64)
    kept, tokens, nobody = Kept(), np.ones(batch, np.uint32), np.zeros(batch, np.bool_)
    for start in range(0, n, batch):
        assert (kept.decide(keys[start : start + batch], tokens, nobody, n).codes == TRAIN).all()
    assert 2 * kept._used <= len(kept._keys)
    for start in range(0, n, batch):
        verdicts = kept.decide(keys[start : start + batch], tokens, nobody, n)
        assert (verdicts.codes == FIRST_DUPLICATE).all()
        assert (verdicts.twins == np.arange(start, start + batch)).all()


def test_memory_is_what_the_module_says() -> None:
    """24 to 48 bytes a key once the table has grown."""
    kept, n = Kept(), 50_000
    keys = np.random.default_rng(2).integers(1, 1 << 63, size=(n, 4), dtype=np.uint64)
    for start in range(0, n, 1000):
        kept.decide(keys[start : start + 1000], np.ones(1000, np.uint32), np.zeros(1000, np.bool_), n)
    assert 24 <= (kept._keys.nbytes + kept._owners.nbytes) / keys.size <= 48

"""Bands against the rule in plain Python, and against what MinHash promises of any pair of texts."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpts_data.pipelines.dedup.minhash import coefficients, hash_bands, sketch
from gpts_data.pipelines.text.hashing import string_buffers
from gpts_data.pipelines.text.normalization import normalization_table
from tests.support import plain_kernels as plain

TEXT = st.lists(st.sampled_from(["a", "b", "C", "d.", "12", "\xe9", "\u4e2d"]), max_size=25).map(" ".join)
N_HASHES = 112


def bands(texts: list[str], ngrams: int = 5, buckets: int = 14, hashes: int = 8, seed: int = 3) -> NDArray[np.uint64]:
    keys = np.zeros((len(texts), buckets), np.uint64)
    functions = coefficients(buckets * hashes)
    hash_bands(
        string_buffers(pa.array(texts, pa.string())), normalization_table(True), functions, ngrams, hashes, seed, keys
    )
    return keys


def minima(hashes: NDArray[np.uint64]) -> NDArray[np.uint32]:
    found = np.zeros(N_HASHES, np.uint32)
    low, high = np.empty((2, len(hashes) + 3), np.uint32)
    sketch(hashes, len(hashes), coefficients(N_HASHES), low, high, found)
    return found


def random_pair(rng: np.random.Generator, common: int, each: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Signatures of two sets with `common` members in both and `each` of its own in one."""
    x = rng.integers(0, 1 << 64, size=common + 2 * each, dtype=np.uint64)
    return minima(x[: common + each]), minima(np.concatenate([x[:common], x[common + each :]]))


@given(TEXT, st.integers(1, 6), st.integers(1, 5), st.integers(1, 4))
@settings(max_examples=200)
def test_bands_are_the_rule_in_plain_python(text: str, ngrams: int, buckets: int, hashes: int) -> None:
    expected = plain.bands(text, ngrams, buckets, hashes, seed=9)
    assert bands([text], ngrams, buckets, hashes, seed=9)[0].tolist() == expected


@given(st.lists(TEXT, max_size=6), st.randoms(use_true_random=False))
def test_a_texts_bands_do_not_depend_on_the_others(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    alone = [bands([text], 2)[0].tolist() for text in texts]
    assert bands([texts[i] for i in order], 2).tolist() == [alone[i] for i in order]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_a_sketch_is_of_a_set(hashes: list[int], rng: random.Random) -> None:
    shuffled = hashes + rng.choices(hashes, k=5)
    rng.shuffle(shuffled)
    found = minima(np.array(hashes, np.uint64))
    assert (found == minima(np.array(shuffled, np.uint64))).all()
    assert found.tolist() == plain.minima(set(hashes), N_HASHES)


@pytest.mark.parametrize(("common", "each"), [(1, 9), (15, 35), (50, 25), (400, 50), (1900, 50), (60, 2)])
def test_equal_minima_are_the_jaccard_within_the_binomial_error(common: int, each: int) -> None:
    """Mean and spread over 400 random pairs; five standard deviations of each."""
    rng, pairs, jaccard = np.random.default_rng(common), 400, common / (common + 2 * each)
    found = np.array([np.mean(np.equal(*random_pair(rng, common, each))) for _ in range(pairs)])
    spread = np.sqrt(jaccard * (1 - jaccard) / N_HASHES)
    assert abs(found.mean() - jaccard) < 5 * spread / np.sqrt(pairs)
    assert abs(found.std() / spread - 1) < 5 / np.sqrt(2 * pairs)


@pytest.mark.parametrize(("common", "each"), [(20, 20), (80, 10), (90, 5)])
def test_bands_are_met_as_often_as_independent_functions_would(common: int, each: int) -> None:
    """The S-curve 1 - (1 - J^8)^14 at J = 0.33, 0.8 and 0.9, within five standard deviations."""
    rng, pairs = np.random.default_rng(1), 2000
    equal = np.array([np.equal(*random_pair(rng, common, each)) for _ in range(pairs)])
    met = equal.reshape(pairs, 14, 8).all(axis=2).any(axis=1).mean()
    expected = 1 - (1 - (common / (common + 2 * each)) ** 8) ** 14
    assert abs(met - expected) < 5 * np.sqrt(expected * (1 - expected) / pairs) + 1e-9


@pytest.mark.parametrize("exchanged", [1, 2, 4, 8])
def test_planted_near_duplicates_are_found_as_the_s_curve_says(exchanged: int) -> None:
    """Texts of 200 words, some of them exchanged; the bound from each pair's exact Jaccard, less three deviations."""
    rng = random.Random(exchanged)
    vocabulary = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(2, 8))) for _ in range(3000)]
    found, chance = 0, []
    for _ in range(200):
        words = rng.choices(vocabulary, k=200)
        copy = words.copy()
        for i in rng.sample(range(200), exchanged):
            copy[i] = rng.choice(vocabulary)
        one, other = bands([" ".join(words), " ".join(copy)])
        found += bool((one == other).any())
        a, b = plain.ngrams(" ".join(words), 5), plain.ngrams(" ".join(copy), 5)
        chance.append(1 - (1 - (len(a & b) / len(a | b)) ** 8) ** 14)
    assert found >= sum(chance) - 3 * np.sqrt(sum(p * (1 - p) for p in chance)) - 1e-9


def test_other_texts_meet_in_no_band() -> None:
    rng = random.Random(0)
    vocabulary = ["".join(rng.choices("abcdefghijklmnop", k=5)) for _ in range(500)]
    keys = bands([" ".join(rng.choices(vocabulary, k=rng.randint(5, 400))) for _ in range(2000)])
    assert len(set(keys.ravel().tolist())) == keys.size


def test_a_text_of_fewer_words_than_n_has_no_bands() -> None:
    keys = bands(["", "four words are short", "five words are not short", "one two. 3000 - - four"])
    assert keys.any(axis=1).tolist() == [False, False, True, False]
    assert keys[2].all()


def test_the_coefficients_are_fixed_and_all_different() -> None:
    assert coefficients(3).tolist() == [plain.mix64(plain.init_state(0xC0EF + k)) >> 32 for k in range(3)]
    assert len(set(coefficients(N_HASHES).tolist())) == N_HASHES

"""Pairs that are tested beforehand change no verdict of the walk, and spare it nearly all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gpts_data.mixer.stages import near_pairs
from gpts_data.mixer.stages.dedup_index import Index, index, run_writer
from gpts_data.mixer.stages.near_pairs import checked_beforehand
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.dedup.greedy import N_NAMED_KEYS, DedupState, SimilarityTest, Verdicts
from gpts_data.pipelines.dedup.signatures import Dedup, MinHash
from gpts_data.pipelines.execute import InProcess

DEDUP = Dedup(minhash=MinHash(buckets=4, hashes_per_bucket=2))
UNIT = 30  # documents


class Workers:
    """An engine that is not this process, as far as `checked_beforehand` can see."""

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        return InProcess().map(function, tasks)


def keys_with_copies(seed: int, units: int = 4) -> list[NDArray[np.uint64]]:
    """Documents of which many share bands, and some a named key, with one or several earlier ones."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(1, 2**64, (units * UNIT, DEDUP.n_keys), dtype=np.uint64)
    for row in range(1, len(keys)):
        for column in range(DEDUP.n_keys):
            if rng.random() < (0.02 if column < N_NAMED_KEYS else 0.2):
                keys[row, column] = keys[rng.integers(row), column]
    return np.split(keys, units)


def walk(keys: Index, units: int, test: SimilarityTest, texts: Texts) -> list[Verdicts]:
    state, no, tokens = DedupState(keys.n_groups, DEDUP.n_keys), np.zeros(UNIT, np.bool_), np.ones(UNIT, np.uint32)
    verdicts = []
    for number in range(units):
        texts.add(Path(str(number)), state.seen)
        verdicts.append(state.decide(keys.of(number), tokens, no, no, 10**6, test))
    return verdicts


@pytest.mark.parametrize("seed", range(5))
def test_the_walk_decides_the_same_and_tests_little_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    units = keys_with_copies(seed)
    runs = [tmp_path / f"{number}.keys.arrow" for number in range(len(units))]
    for path, unit in zip(runs, units, strict=True):
        with run_writer(path, path.name) as run:
            run.add(unit)

    def is_similar(document: int, other: int) -> bool:  # in the walk by ordinal, in a task by place
        document, other = ((x >> 32) * UNIT + (x & (2**32 - 1)) for x in (document, other))
        return (document * 31 + other * 17 + seed) % 3 > 0

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(near_pairs, "PAIRS_AT_ONCE", 5)
    monkeypatch.setattr(near_pairs, "FEW_PAIRS", 5)
    monkeypatch.setattr(near_pairs, "get_encoder", lambda *_: None)
    monkeypatch.setattr(near_pairs, "SimilarTexts", lambda *_: is_similar)
    tokenizer: Any = SimpleNamespace(folder=tmp_path, digest="")
    with index(runs, [unit.size for unit in units], tmp_path / "index", tmp_path / "scratch", InProcess()) as keys:
        (tmp_path / "index").mkdir(exist_ok=True)
        texts, encoder = Texts(None), Texts(None)  # type: ignore[arg-type]

        def counted(document: int, other: int) -> bool:
            asked.append((document, other))
            return is_similar(document, other)

        arguments = counted, texts, keys, runs, DEDUP, tokenizer, tmp_path / "index", tmp_path / "scratch"
        assert checked_beforehand(*arguments, InProcess()) is counted
        expected = walk(keys, len(units), counted, encoder)
        n_alone = len(asked)
        asked.clear()
        found = walk(keys, len(units), checked_beforehand(*arguments, Workers()), texts)
    for one, other in zip(found, expected, strict=True):
        assert one.codes.tolist() == other.codes.tolist()
        assert one.duplicate_of.tolist() == other.duplicate_of.tolist()
    assert len(asked) <= 5 < n_alone / 4

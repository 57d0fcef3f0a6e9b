"""The unigram entropy equals its definition."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.pipelines.errors import DataError, VerificationError  # noqa: E402
from gpts_data.validation.training import metrics as module  # noqa: E402
from gpts_data.validation.training.metrics import unigram_entropy  # noqa: E402

WINDOW, VOCABULARY = 8, 50


def write_mix(folder: Path, sizes: tuple[int, ...], vocab_size: int = VOCABULARY) -> tuple[Mix, np.ndarray]:
    """Write a mix of shards with the given numbers of windows; return it and all its windows as one array."""
    rng = np.random.default_rng(0)
    windows = (rng.random((sum(sizes), WINDOW)) ** 2 * VOCABULARY).astype("<u2")  # ids of unequal frequency
    (folder / "shards").mkdir()
    shards = [
        {"file": f"shards/train-{i:05}.bin", "windows": size, "bytes": size * WINDOW * 2}
        for i, size in enumerate(sizes)
    ]
    for shard, part in zip(shards, np.split(windows, np.cumsum(sizes)[:-1]), strict=True):
        (folder / str(shard["file"])).write_bytes(part.tobytes())
    manifest = {
        "windows": sum(sizes),
        "recipe": {"window": WINDOW, "source": [{"name": "web"}]},
        "tokenizer": {"vocab_size": vocab_size, "eos_id": 0},
        "shards": shards,
        "files": [],
        "root_digest": "0" * 64,
    }
    return Mix(folder, manifest), windows


def naive_entropy(ids: list[int]) -> float:
    return -sum(n / len(ids) * math.log(n / len(ids)) for n in Counter(ids).values())


@pytest.mark.parametrize("max_tokens", [2**29, 128, 100, 40, 7])
@pytest.mark.parametrize("chunk", [1 << 22, 11])
def test_entropy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_tokens: int, chunk: int) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    mix, windows = write_mix(tmp_path, (5, 1, 10))
    assert unigram_entropy(mix, max_tokens) == pytest.approx(naive_entropy(windows.ravel()[:max_tokens].tolist()))


def test_entropy_of_one_id_is_zero(tmp_path: Path) -> None:
    mix, _ = write_mix(tmp_path, (4,))
    mix.shards[0].write_bytes(bytes(4 * WINDOW * 2))
    assert unigram_entropy(mix) == 0


def test_an_id_outside_the_vocabulary(tmp_path: Path) -> None:
    mix, windows = write_mix(tmp_path, (4,), vocab_size=20)
    with pytest.raises(DataError, match=f"found id {windows.max()}, expected ids below 20"):
        unigram_entropy(mix)


def test_empty_shards(tmp_path: Path) -> None:
    mix, _ = write_mix(tmp_path, (4,))
    mix.shards[0].write_bytes(b"")
    with pytest.raises(VerificationError, match="0 bytes, expected 64"):
        unigram_entropy(mix)

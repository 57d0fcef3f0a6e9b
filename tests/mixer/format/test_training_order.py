"""The training order by position: over the ends of shards, and of the mix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from gpts_data.mixer.format.training_order import TrainingOrder
from gpts_data.pipelines.errors import UsageError, VerificationError
from tests.validation.training.test_metrics import write_mix


@pytest.mark.parametrize("count", [1, 3, 4, 7, 16])
def test_order_is_that_of_the_shards(tmp_path: Path, count: int) -> None:
    mix, windows = write_mix(tmp_path, (5, 1, 10))
    for first in range(17 - count):
        batch = TrainingOrder(mix).read(first, count)
        assert batch.dtype == np.int64
        assert np.array_equal(batch, windows[first : first + count])


def test_each_position_is_located_in_its_shard(tmp_path: Path) -> None:
    mix, windows = write_mix(tmp_path, (5, 1, 10))
    assert mix.shard_starts.tolist() == [0, 5, 6, 16]
    for position in range(16):
        assert np.array_equal(mix.row(*mix.locate(position)), windows[position])


def test_behind_the_last_window_comes_the_first(tmp_path: Path) -> None:
    mix, windows = write_mix(tmp_path, (2, 3))
    assert np.array_equal(TrainingOrder(mix).read(3, 9), windows[[3, 4, 0, 1, 2, 3, 4, 0, 1]])
    assert np.array_equal(TrainingOrder(mix).read(5 * 10**9 + 1, 2), windows[[1, 2]])


def test_entropy_do_not_share_memory_with_the_files(tmp_path: Path) -> None:
    mix, windows = write_mix(tmp_path, (2,))
    TrainingOrder(mix).read(0, 2)[:] = 0
    assert np.array_equal(mix.shard(0), windows)


def test_no_windows(tmp_path: Path) -> None:
    mix, _ = write_mix(tmp_path, (0,))
    with pytest.raises(UsageError, match="no windows"):
        TrainingOrder(mix)


def test_a_shard_that_was_cut(tmp_path: Path) -> None:
    mix, windows = write_mix(tmp_path, (2, 3))
    mix.shards[1].write_bytes(windows[2:4].tobytes())
    with pytest.raises(VerificationError, match="train-00001.bin: [0-9]+ bytes, expected [0-9]+"):
        TrainingOrder(mix).read(0, 5)

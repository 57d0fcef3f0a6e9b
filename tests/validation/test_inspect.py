"""inspect says what the folder holds, counted again from the files."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.inspect import decode_window, inspect, repeats


def test_counts_are_those_of_the_files(mix: Mix) -> None:
    facts = inspect(mix)
    tokens = np.concatenate([mix.shard(i).ravel() for i in range(facts["shards"])])
    assert (facts["windows"], facts["tokens"]) == (len(tokens) // 64, len(tokens))
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    for i, (name, source) in enumerate(facts["sources"].items()):
        assert source["windows"] == (rows["source"] == i).sum()
        assert source["tokens"] == source["windows"] * 64
        assert source["share"] == pytest.approx(source["windows"] / facts["windows"])
        tables = (pq.read_table(path) for path in (mix.path / "documents" / name).glob("*.parquet"))
        assert source["documents"] == sum(table.num_rows for table in tables)
        assert source["epochs"] == 1
        assert source["repeats"] == {"1": source["windows"]}
        fall = facts["waterfall"][name]
        assert fall["kept"] == source["documents"] + source["validation"]["documents"]


@pytest.mark.parametrize(("windows", "distinct"), [(7, 7), (10, 7), (14, 7), (23, 7), (5, 1)])
def test_repeats_count_the_windows_of_the_training_order(windows: int, distinct: int) -> None:
    order = EpochOrder(windows, distinct, seed=3, name="a")
    times = Counter(Counter(order.windows_at(np.arange(windows)).tolist()).values())
    assert repeats(windows, distinct) == {str(n): count for n, count in sorted(times.items())}


def test_a_window_decoded(mix: Mix) -> None:
    shown = decode_window(mix, 150)
    assert shown.ids == mix.shard(1)[50].tolist()
    assert (shown.shard, shown.row) == ("shards/train-00001.bin", 50)
    assert len(shown.text) > 64


@pytest.mark.parametrize("position", [-1, 313])
def test_no_such_window(mix: Mix, position: int) -> None:
    with pytest.raises(UsageError, match="windows 0 to 312"):
        decode_window(mix, position)

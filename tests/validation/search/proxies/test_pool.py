"""The pool: the beginning of each source's stream, as a mix has it, and the same held-out text."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.format.mix import open_mix
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.pipelines.errors import ShortSourceError, UsageError
from gpts_data.validation.search.proxies.pool import Pool, leading, open_pool
from tests.validation.search.proxies.conftest import OPTIONS, KeptUnits, Searched


@pytest.fixture(scope="module")
def pool(searched: Searched, kept: KeptUnits) -> Pool:
    content = (searched.out / "pool" / "pool.json").read_text(encoding="utf-8")
    key = content.split('"key": "')[1][:64]
    pool = open_pool(kept.recipe, searched.out / "pool", key)
    assert pool is not None
    return pool


def test_the_pool_has_the_windows_of_the_mix(pool: Pool, kept: KeptUnits) -> None:
    mix = open_mix(kept.mix)
    rows = np.fromfile(pool.file, np.uint16).reshape(-1, pool.window)
    assert len(rows) == sum(pool.windows)
    checked = 0
    for shard in range(len(mix.shards)):
        for (source, window), ids in zip(sidecar(mix, shard).tolist(), mix.shard(shard), strict=True):
            if source == 0 and window < pool.windows[0]:  # of later sources, dedup may keep other documents
                assert (rows[window] == ids).all()
                checked += 1
    assert checked > 20
    held_out = mix.validation("web")  # the units have more documents than the mix needed
    assert (pool.held_out("web")[: len(held_out)] == held_out).all()


def test_no_held_out_text_is_trained_on(pool: Pool) -> None:
    stream = np.fromfile(pool.file, np.uint16).tobytes()
    for name in pool.names:
        windows = pool.held_out(name)
        assert len(windows)
        assert all(window[8:40].tobytes() not in stream for window in windows)


def test_a_run_reads_the_share_of_each_source_that_its_tokens_are_of_the_mix() -> None:
    assert leading(supply=1000 * 64, window=64, tokens=1000, of_tokens=4000) == 250
    assert leading(supply=1000 * 64 + 63, window=64, tokens=4000, of_tokens=4000) == 1000
    assert leading(supply=64, window=64, tokens=1, of_tokens=4000) == 1


def test_a_damaged_pool_is_made_again(kept: KeptUnits, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    out = tmp_path / "search"
    kept.search(out)
    whole = (out / "pool" / "windows.bin").read_bytes()
    (out / "pool" / "windows.bin").write_bytes(whole[:-2] + b"\xff\xff")
    with caplog.at_level(logging.WARNING):
        kept.search(out)
    assert "the pool of windows: windows.bin" in caplog.text
    assert (out / "pool" / "windows.bin").read_bytes() == whole


def test_units_that_are_missing_are_named_with_the_command_that_makes_them(kept: KeptUnits, tmp_path: Path) -> None:
    none = replace(kept, folder=tmp_path / "empty")
    with pytest.raises(UsageError, match="holds no units of all sources.*gpts-data build-mix --recipe RECIPE"):
        none.search(tmp_path / "a")
    tokenizer = next((kept.folder / ".gpts-data-tokenizers").iterdir())
    with pytest.raises(UsageError, match="holds no units that were made with this recipe"):
        none.search(tmp_path / "b", tokenizer=tokenizer)
    large = replace(kept, recipe=replace(kept.recipe, tokens=10_000_000))
    with pytest.raises(ShortSourceError, match=r"web: [\d,]+ of [\d,]+;.*--tokens 10000000 --keep-units"):
        large.search(tmp_path / "c")
    kept.search(tmp_path / "c", replace(OPTIONS, seed=1))  # what was refused does not keep the folder

"""Shards read the same windows whether they lie in a file for each unit or in merged files, and open no other files."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages import merge_cuts
from gpts_data.mixer.stages.shuffle import Bounds, gather_windows
from tests.mixer.test_build import files_of


def test_merged_cut_files_give_the_same_mix_also_after_a_stop(
    mix: Mix, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(merge_cuts, "MAX_FILES", 0)
    monkeypatch.setattr(merge_cuts, "MERGED", 2)
    monkeypatch.setattr(merge_cuts, "ROWS_AT_ONCE", 7)
    merged: list[int] = []

    def stop(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        if stage == "cut" and done == total:
            merged.append(total)
        if stage == "shards":
            raise KeyboardInterrupt

    arguments = load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix"
    with pytest.raises(KeyboardInterrupt):
        build(*arguments, progress=stop)
    work = tmp_path / "mix" / ".build"
    assert len(list(work.rglob("merged/*/*.bin"))) == merged[0] > 3 and not list(work.rglob("cut/*/*.bin"))
    monkeypatch.setattr(merge_cuts, "cut", lambda _: pytest.fail("a unit is cut again"))
    with caplog.at_level(logging.WARNING):
        build(*arguments)
    assert caplog.text == ""
    assert files_of(tmp_path / "mix") == files_of(mix.path)


def test_a_shard_opens_only_the_files_that_have_windows_for_it(tmp_path: Path) -> None:
    rows = {0: [[10, 11], [12, 13], [14, 15]], 2: [[20, 21], [22, 23]]}
    for number, windows in rows.items():
        np.array(windows, "<u2").tofile(tmp_path / f"{number}.bin")
    tokens = np.zeros((5, 2), "<u2")
    files, starts, positions = np.array([2, 0, 0]), np.array([1, 99, 0]), np.array([4, 0, 2])
    counts = gather_windows(lambda number: tmp_path / f"{number}.bin", files, starts, positions, tokens)
    assert tokens.tolist() == [[12, 13], [0, 0], [14, 15], [0, 0], [20, 21]]  # there is no 1.bin
    assert counts.tolist() == [2, 0, 1]


def test_bounds_come_back(tmp_path: Path) -> None:
    bounds = Bounds(tmp_path / "bounds", files=2)
    bounds.write([7, 9], np.array([[0, 1, 5], [0, 0, 4_000_000_000]]))
    assert [part.tolist() for part in bounds.read(1)] == [[7, 9], [1, 0], [5, 4_000_000_000]]
    assert bounds.path.stat().st_size == 4 * 2 * 4

"""A disk too small is refused before work, or in the midst of it with what the build needs; then it goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import StorageError
from tests.mixer.test_build import files_of

TOKENS = 20_032


def free(monkeypatch: pytest.MonkeyPatch, *sizes: int) -> None:
    """What the disk has, asked time after time; the last for ever."""
    left = list(sizes)
    monkeypatch.setattr(
        "gpts_data.mixer.planning.resources.free_bytes", lambda _: left.pop(0) if len(left) > 1 else left[0]
    )


def test_too_little_for_the_ids_is_refused_before_any_work(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 6 * TOKENS - 1)
    with pytest.raises(StorageError, match=r"the build needs at least 120,192 bytes more, 120,191 are free\. Free 1"):
        build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
    assert not (tmp_path / "mix").exists()


def test_before_cutting_it_is_asked_again(
    mix: Mix, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, 10**9, 4 * TOKENS - 1)
    with pytest.raises(StorageError, match=r"cutting and assembling needs at least 80,128 bytes more, 80,127 are free"):
        build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
    free(monkeypatch, 4 * TOKENS)
    built = build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
    assert files_of(tmp_path / "mix") == files_of(mix.path)
    assert built.reused == built.units


def test_a_disk_that_gets_full_says_what_the_build_needs(
    mix: Mix, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, count = os.replace, 0

    def full(source: str, target: str) -> None:
        nonlocal count
        count += 1
        if count == 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("gpts_data.pipelines.storage.atomic_files.os.replace", full)
    with pytest.raises(
        StorageError, match=r"needs about [\d,]+ bytes at its peak; it has written [\d,]+, and [\d,]+ are free"
    ):
        build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
    build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
    assert files_of(tmp_path / "mix") == files_of(mix.path)

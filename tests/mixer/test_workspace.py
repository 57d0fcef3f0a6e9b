"""Two runs of one build that end at the same time: both may clean up, and neither fails."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpts_data.mixer import workspace
from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.storage.lock import folder_lock
from gpts_data.pipelines.storage.paths import remove


def test_a_run_that_loses_the_race_to_clean_up_does_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run removes a file that this one has listed, and creates its lock in a folder that this one empties."""
    faults = [FileNotFoundError(errno.ENOENT, "gone"), OSError(errno.ENOTEMPTY, "not empty")]

    def remove_late(path: Path) -> None:
        if faults:
            raise faults.pop(0)
        remove(path)

    monkeypatch.setattr(workspace, "remove", remove_late)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "lock").touch()
    workspace.clean_up(SimpleNamespace(work=tmp_path / "work", scratch=tmp_path / "scratch"))  # type: ignore[arg-type]
    assert not faults and not list(tmp_path.iterdir())


def test_a_mix_that_another_run_has_finished_is_finished(mix: Mix, recipe_file: Path) -> None:
    """The other run still holds the lock, since it cleans up."""
    work = mix.path / ".build"
    with folder_lock(work, "refused"):
        built = build(load_recipe(recipe_file), recipe_file.parent, mix.path)
    remove(work)
    assert not built.created and built.manifest["root_digest"] == mix.manifest["root_digest"]

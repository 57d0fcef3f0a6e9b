"""Two runs of one build that end at the same time: both may clean up, and neither fails."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpts_data.mixer import workspace
from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import ForeignFolderError
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


def plan_in(folder: Path, units: Path) -> Plan:
    """What `locked` reads of a plan."""
    recipe = SimpleNamespace(names=["web", "books"])
    return SimpleNamespace(folder=folder, work=folder / ".build", keep_units=units, recipe=recipe)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["mix/.build", "mix/.build/units/web", "mix/shards", "mix/.build/lock", "units/books"])
def test_links_are_not_followed_below_the_folders_of_a_build(name: str, tmp_path: Path) -> None:
    """A half-finished build or kept units of somebody else could have us write anywhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / name
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    with (
        pytest.raises(ForeignFolderError, match=rf"{link} is a symbolic link, .* delete the link, or choose"),
        workspace.locked(plan_in(tmp_path / "mix", tmp_path / "units")),
    ):
        pass
    assert not list(elsewhere.iterdir())
    link.unlink()
    with workspace.locked(plan_in(tmp_path / "mix", tmp_path / "units")):
        pass


def test_the_folders_themselves_may_be_links(tmp_path: Path) -> None:
    for name in ("mix", "units"):
        (tmp_path / "disk" / name).mkdir(parents=True)
        (tmp_path / name).symlink_to(tmp_path / "disk" / name)
    (tmp_path / "units" / "notes").symlink_to(tmp_path)  # of the user; no source has this name
    with workspace.locked(plan_in(tmp_path / "mix", tmp_path / "units")):
        assert (tmp_path / "disk/mix/.build/lock").exists()

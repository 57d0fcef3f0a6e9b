"""Checkpoints: the newest whole one counts, and it is safe on the disk before an older one goes."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors.torch")

from gpts_data.mixer.format.mix import Mix  # noqa: E402
from gpts_data.validation.model.model import GPTS  # noqa: E402
from gpts_data.validation.training.checkpoint import drop_checkpoints, load_checkpoint, save_checkpoint  # noqa: E402
from gpts_data.validation.training.device import DistributedContext  # noqa: E402
from gpts_data.validation.training.lr_schedule import LearningRateSchedule  # noqa: E402
from gpts_data.validation.training.trainer import Trainer  # noqa: E402
from tests.support.runs import TINY  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def new_trainer(mix: Mix, seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    model = GPTS(replace(TINY, vocab_size=32, context=mix.window))
    trainer = Trainer(model, mix, LearningRateSchedule(9, 8), DistributedContext(0, 1, torch.device("cpu")))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    trainer.optimizer.step()
    return trainer


def weights(trainer: Trainer) -> list[float]:
    return [float(parameter.detach().sum()) for parameter in trainer.model.parameters()]


def test_of_two_whole_checkpoints_the_newer_counts(patterned: Mix, tmp_path: Path) -> None:
    """As after a kill between the rename of a checkpoint and the removal of the one before it."""
    old, new, resumed = (new_trainer(patterned, seed) for seed in range(3))
    old.step, new.step = 9, 10  # as text, "9" would come after "10"
    older = save_checkpoint(tmp_path, old)
    shutil.copytree(older, tmp_path / "kept")
    newer = save_checkpoint(tmp_path, new)
    if not older.exists():
        shutil.copytree(tmp_path / "kept", older)
    load_checkpoint(tmp_path, resumed)
    assert resumed.step == 10 and weights(resumed) == weights(new) != weights(old)
    unfinished = newer.with_name("step-00000011.tmp")
    shutil.copytree(newer, unfinished)
    (unfinished / "place.json").unlink()
    load_checkpoint(tmp_path, resumed)
    assert resumed.step == 10
    others = [newer.parent / name for name in ("best", "step-10", "step-00000007.bak")]
    for path in others:  # of the user
        path.mkdir()
    new.step = 12
    save_checkpoint(tmp_path, new)
    assert not unfinished.exists() and not older.exists()
    drop_checkpoints(tmp_path)
    assert sorted(newer.parent.iterdir()) == sorted(others)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for the path of a descriptor")
def test_a_checkpoint_is_synced_before_and_after_it_gets_its_name(
    patterned: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Path]] = []
    rename, fsync = os.replace, os.fsync

    def spy_fsync(descriptor: int) -> None:
        calls.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def spy_rename(source: Any, target: Any) -> None:
        calls.append(("rename", Path(target)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy_rename)
    folder = save_checkpoint(tmp_path, new_trainer(patterned))
    at = calls.index(("rename", folder))
    temporary = folder.with_name(folder.name + ".tmp")
    assert calls[at - 1] == ("fsync", temporary) and calls[at + 1] == ("fsync", folder.parent)
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "optimizer.safetensors", "place.json"}
    assert {path.name for call, path in calls[:at] if call == "rename"} == {path.name for path in folder.iterdir()}

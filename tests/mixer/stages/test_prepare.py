"""A unit that is there already is used only as it was written; a damaged one is prepared again, with a word."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.plan import make_plan
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages import prepare as prepare_module
from gpts_data.mixer.stages.prepare import Prepare, UnitReceipt, prepare, prepare_or_reuse
from gpts_data.mixer.stages.rounds import SourceUnits
from gpts_data.tokenizer.artifact import load


@pytest.fixture(scope="module")
def units(mix: Mix, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Prepare, UnitReceipt]]:
    """Two prepared units of a source, and their receipts."""
    tokenizer = load(mix.tokenizer)
    folder = tmp_path_factory.mktemp("units") / "mix"
    plan = make_plan(load_recipe(recipe_file), recipe_file.parent, folder, tokenizer, NAME)
    tasks = SourceUnits(plan, 0, tokenizer).take(100_000, 0.25)[:2]
    return [(task, prepare(task)) for task in tasks]


def files(task: Prepare) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (task.path, task.run, task.samples, task.dropped, task.receipt)}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]) and None,
    "deleted": Path.unlink,
}


def test_damaged_units_are_prepared_again(
    units: list[tuple[Prepare, UnitReceipt]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, receipt = units[0]
    whole = files(task)
    for name, damage in DAMAGES.items():
        for path in (path for path, content in whole.items() if content):
            damage(path)
            caplog.clear()
            with caplog.at_level(logging.WARNING, "gpts_data"):
                assert prepare_or_reuse(task) == (receipt, False), (name, path)
            assert files(task) == whole, (name, path)
            assert len(caplog.records) == (0 if (name, path) == ("deleted", task.receipt) else 1)
    monkeypatch.setattr(prepare_module, "read_buckets", None)
    assert prepare_or_reuse(task) == (receipt, True)  # a whole one is not


def test_swapped_units_are_prepared_again(
    units: list[tuple[Prepare, UnitReceipt]], caplog: pytest.LogCaptureFixture
) -> None:
    whole = [files(task) for task, _ in units]
    for ours, theirs in zip(*whole, strict=True):
        content = ours.read_bytes()
        ours.write_bytes(theirs.read_bytes())
        theirs.write_bytes(content)
    for (task, receipt), contents in zip(units, whole, strict=True):
        assert prepare_or_reuse(task) == (receipt, False)
        assert files(task) == contents
    for (task, receipt), (other, _) in zip(units, reversed(units), strict=True):
        task.path.write_bytes(other.path.read_bytes())
        with caplog.at_level(logging.WARNING, "gpts_data"):
            assert prepare_or_reuse(task) == (receipt, False)
        assert f"source 'web', unit {task.unit.name}: {task.path.name}: found " in caplog.messages[-1]
    assert [files(task) for task, _ in units] == whole

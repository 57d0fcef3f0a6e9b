"""A unit that is there already is used only as it was written; a damaged one is prepared again, with a word."""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.plan import make_plan
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.stages import prepare as prepare_module
from gpts_data.mixer.stages.prepare import Prepare, prepare, prepare_or_reuse
from gpts_data.mixer.stages.rounds import SourceUnits
from gpts_data.mixer.stages.unit_receipt import DROPPED_END, RUN_END, UNIT_END, UnitReceipt
from gpts_data.pipelines.storage.checksums import AnyChecksum, checksum
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
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


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
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


def with_count(name: str, count: int) -> Callable[[Any], object]:
    return lambda receipt: receipt.update({name: count})


FORGED: dict[str, Callable[[Any], object]] = {
    **{f"{name} = {n}": with_count(name, n) for name in ("read", "kept", "tokens", "keys") for n in (-1, 0, 10**15)},
    "n_damaged": with_count("n_damaged", 10**9),
    "source": lambda receipt: receipt.update(source="books"),
    "unit": lambda receipt: receipt.update(unit="other"),
    "files": lambda receipt: receipt.update(files={"/../../../x": {"bytes": 0}}),
    "no files": lambda receipt: receipt.update(files={}),
    "dropped": lambda receipt: receipt["dropped"].update({"\x1b[31mx": 5}),
    "dropped and read": lambda receipt: receipt.update(dropped={"x": 5}, read=receipt["kept"] + 5),
    "damaged": lambda receipt: receipt.update(damaged=["a: broken_line"] * 1000, n_damaged=1000),
}


def test_a_receipt_that_contradicts_itself_or_its_files_is_not_used(
    units: list[tuple[Prepare, UnitReceipt]], caplog: pytest.LogCaptureFixture
) -> None:
    """Kept units may come from somebody else, whose receipts have right checksums whatever they say."""
    task, receipt = units[0]
    for name, forge in FORGED.items():
        forged = deepcopy(receipt)
        forge(forged)
        assert forged != receipt, name
        write_receipt(task.receipt, forged)
        caplog.clear()
        read = read_receipt(task.receipt, task.key, UnitReceipt)
        assert read is None or not task.accepts(read), name
        assert len(caplog.records) == 1, name
    write_receipt(task.receipt, receipt)
    assert task.accepts(receipt)


def test_unreadable_files_with_right_checksums_are_prepared_again(
    units: list[tuple[Prepare, UnitReceipt]], caplog: pytest.LogCaptureFixture
) -> None:
    task, receipt = units[0]
    whole = files(task)
    wrong = {
        "cut": lambda content: content[: len(content) // 2],
        "zeroed": lambda content: bytes(len(content)),
        "empty": lambda content: b"",
        "0xff": lambda content: b"\xff" * len(content),
        "other": lambda content: files(units[1][0])[units[1][0].path],
    }
    for name, change in wrong.items():
        for end in (UNIT_END, RUN_END, DROPPED_END):
            path = task.path.with_suffix(end)
            path.write_bytes(change(whole[path]))
            forged = deepcopy(receipt)
            forged["files"][end] = cast(AnyChecksum, checksum(path))
            caplog.clear()
            assert not task.accepts(forged), (name, end)
            assert "the unit is prepared again" in caplog.text
            path.write_bytes(whole[path])
    assert task.accepts(receipt)


def test_no_value_in_a_unit_file_leads_out_of_it(units: list[tuple[Prepare, UnitReceipt]]) -> None:
    """Flipped bits with the right checksum: the unit is accepted or not, and no error is raised."""
    task, receipt = units[0]
    for end in (UNIT_END, RUN_END, DROPPED_END):
        path = task.path.with_suffix(end)
        whole = path.read_bytes()
        for place in range(0, len(whole), len(whole) // 60):
            content = bytearray(whole)
            content[place] ^= 0x80
            path.write_bytes(content)
            forged = deepcopy(receipt)
            forged["files"][end] = cast(AnyChecksum, checksum(path))
            task.accepts(forged)
        path.write_bytes(whole)

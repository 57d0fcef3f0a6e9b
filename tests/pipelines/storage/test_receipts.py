"""Work is done when a receipt for the same inputs exists, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from upath import UPath

from gpts_data.pipelines.errors import GptsDataError, StorageError
from gpts_data.pipelines.storage.atomic_files import json_digest, write_json
from gpts_data.pipelines.storage.lock import folder_lock
from gpts_data.pipelines.storage.receipts import (
    accepted_receipt,
    read_any_receipt,
    read_receipt,
    require_receipt,
    write_receipt,
)


def test_no_receipt_is_not_done(tmp_path: Path) -> None:
    assert read_receipt(tmp_path / "unit.json", "key", dict) is None


def test_the_receipt_of_the_same_inputs_comes_back(tmp_path: Path) -> None:
    written = write_receipt(
        tmp_path / "work" / "unit.json", {"key": "key", "tokens": 3, "dropped": {"short": 1}, "name": "é"}
    )
    assert written == {"key": "key", "tokens": 3, "dropped": {"short": 1}, "name": "é"}
    assert read_receipt(tmp_path / "work" / "unit.json", "key", dict) == written


def test_a_receipt_of_other_inputs_counts_as_absent_until_replaced(tmp_path: Path) -> None:
    path = tmp_path / "unit.json"
    write_receipt(path, {"key": "old", "tokens": 1})
    assert read_receipt(path, "new", dict) is None
    write_receipt(path, {"key": "new", "tokens": 2})
    assert read_receipt(path, "old", dict) is None
    assert read_receipt(path, "new", dict) == {"key": "new", "tokens": 2}


def test_killed_while_writing_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_receipt(tmp_path / "unit.json", {"key": "key"})
    assert read_receipt(tmp_path / "unit.json", "key", dict) is None


def test_the_same_facts_are_the_same_bytes(tmp_path: Path) -> None:
    write_receipt(tmp_path / "a.json", {"key": "key", "tokens": 1, "bytes": 2})
    write_receipt(tmp_path / "b.json", {"key": "key", "bytes": 2, "tokens": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_missing_receipt_of_a_task_that_has_run_is_an_internal_error(tmp_path: Path) -> None:
    path = tmp_path / "unit.json"
    with pytest.raises(GptsDataError, match=r"unit\.json: internal error: .* run the same command again"):
        require_receipt(path, "key", dict)
    written = write_receipt(path, {"key": "key", "tokens": 1})
    assert require_receipt(path, "key", dict) == written
    with pytest.raises(GptsDataError, match="belongs to other inputs"):
        require_receipt(path, "other", dict)


def test_a_receipt_in_which_any_byte_changed_counts_as_absent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "unit.json"
    written = write_receipt(path, {"key": "key", "tokens": 17})
    content = path.read_bytes()
    equal_json = 0
    for i in range(len(content)):
        for bit in (1, 2, 16):
            path.write_bytes(content[:i] + bytes([content[i] ^ bit]) + content[i + 1 :])
            receipt = read_receipt(path, "key", dict)
            equal_json += receipt == written  # one kind of white space became another
            assert receipt in (None, written)
    assert equal_json < 40
    assert "unit.json was changed since it was written" in caplog.text
    for end in range(len(content) - 1):
        path.write_bytes(content[:end])
        assert read_receipt(path, "key", dict) is None


def test_in_a_store_the_first_receipt_of_a_key_stays() -> None:
    """Two workers may have run the same task; both then go on with one result."""
    path = UPath(f"memory://receipts-{os.getpid()}/unit.json")
    first = {"key": "key", "tokens": 1}
    assert write_receipt(path, first) == first
    assert write_receipt(path, {"key": "key", "tokens": 2}) == first == read_receipt(path, "key", dict)
    other = {"key": "other", "tokens": 3}
    assert write_receipt(path, other) == other == read_receipt(path, "other", dict)
    assert read_receipt(path, "key", dict) is None


def test_a_receipt_without_a_key_counts_as_absent(tmp_path: Path) -> None:
    write_json(tmp_path / "unit.json", {"tokens": 1, "checksum": json_digest({"tokens": 1})})
    assert read_receipt(tmp_path / "unit.json", "key", dict) is None


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "huge"])
def test_what_cannot_be_a_receipt_is_not_read(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe would be waited for, a device read for ever, and a sparse file of 30 GB take all memory."""
    path = tmp_path / "unit.json"
    if kind == "huge":
        with open(path, "wb") as file:
            file.truncate(30 << 30)
    else:
        {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": os.mkdir}[kind](path)
    assert read_receipt(path, "key", dict) is None
    assert "the work that it records is done again" in caplog.text
    assert read_any_receipt(path, dict) is None


def test_a_receipt_that_cannot_be_used_does_not_stay(tmp_path: Path) -> None:
    path = tmp_path / "unit.json"
    receipt = write_receipt(path, {"key": "key", "tokens": 1})
    assert accepted_receipt(path, "key", dict, lambda _: True) == receipt
    assert path.exists()
    for key, accepts in (("other", True), ("key", False)):
        write_receipt(path, receipt)
        assert accepted_receipt(path, key, dict, lambda _: accepts) is None  # noqa: B023 - called at once
        assert not path.exists()
    assert accepted_receipt(path, "key", dict, lambda _: True) is None


def test_a_folder_in_the_place_of_a_receipt_or_a_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / "unit.json").mkdir()
    (tmp_path / "lock").mkdir()
    (tmp_path / "file").write_bytes(b"")
    in_the_way = r"{}: .*A regular file in a folder was expected; move away what is there"
    with pytest.raises(StorageError, match=in_the_way.format(r"unit\.json")):
        accepted_receipt(tmp_path / "unit.json", "key", dict, lambda _: True)
    with pytest.raises(StorageError, match=in_the_way.format(r"unit\.json")):
        write_receipt(tmp_path / "unit.json", {"key": "key"})
    with pytest.raises(StorageError, match=in_the_way.format(r"file/unit\.json")):
        write_receipt(tmp_path / "file" / "unit.json", {"key": "key"})
    with pytest.raises(StorageError, match=in_the_way.format("lock")), folder_lock(tmp_path, "another"):
        pass

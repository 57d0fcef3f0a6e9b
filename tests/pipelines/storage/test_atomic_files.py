"""A file is complete or absent, errors of the disk say what to do, and equal values give equal JSON."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from gpts_data.pipelines.errors import GptsDataError, StorageError
from gpts_data.pipelines.storage import atomic_files

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


class Stop(BaseException):
    """An exception that no handler catches, like KeyboardInterrupt."""


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "unit.bin"
    with atomic_files.atomic_write(path) as file:
        file.write(b"half")
        file.flush()
        assert not path.exists()
        file.write(b" and half")
    assert path.read_bytes() == b"half and half"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("no"), Stop(), OSError(errno.EINVAL, "not of the disk")])
def test_a_block_that_raises_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), atomic_files.atomic_write(tmp_path / "unit.bin") as file:
        file.write(b"half")
        raise error
    assert not list(tmp_path.iterdir())


def test_a_block_that_raises_leaves_the_older_file(tmp_path: Path) -> None:
    atomic_files.write_bytes(tmp_path / "unit.bin", b"older")
    with pytest.raises(ValueError), atomic_files.atomic_write(tmp_path / "unit.bin") as file:
        file.write(b"newer")
        raise ValueError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("unit.bin", b"older")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES])
def test_a_disk_that_refuses_a_write_is_a_storage_error(tmp_path: Path, number: int) -> None:
    path = tmp_path / "unit.bin"
    message = rf"cannot write {path}.*the same command again"
    with pytest.raises(StorageError, match=message) as raised, atomic_files.atomic_write(path) as file:
        file.write(b"half")
        raise OSError(number, os.strerror(number))
    assert raised.value.exit_code == 5
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fills_at_the_end_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError):
        atomic_files.write_bytes(tmp_path / "unit.bin", b"all of it")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_really_full_device() -> None:
    with pytest.raises(StorageError, match="No space left"), atomic_files.storage_errors(Path("/dev/full")):
        Path("/dev/full").write_bytes(b"x" * 100_000)


def test_errors_of_ours_pass_through(tmp_path: Path) -> None:
    with pytest.raises(GptsDataError, match="mine"), atomic_files.atomic_write(tmp_path / "unit.bin"):
        raise GptsDataError("mine")


def shuffled(value: Any) -> Any:
    """The same value with the keys of every object in the other order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(item) for item in value] if isinstance(value, list) else value


@given(PLAIN)
def test_json_has_one_spelling_and_reads_back(value: Any) -> None:
    assert atomic_files.pretty_json(shuffled(value)) == atomic_files.pretty_json(value)
    assert atomic_files.json_digest(shuffled(value)) == atomic_files.json_digest(value)
    assert json.loads(atomic_files.pretty_json(value)) == value


def test_the_spelling(tmp_path: Path) -> None:
    atomic_files.write_json(tmp_path / "a.json", {"b": [1, "é"], "a": None})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "a": null,\n  "b": [\n    1,\n    "é"\n  ]\n}\n'
    assert atomic_files.json_digest({"b": 1, "a": "é"}) == hashlib.sha256('{"a":"é","b":1}'.encode()).hexdigest()


def test_what_is_no_json_is_refused() -> None:
    with pytest.raises(ValueError):
        atomic_files.pretty_json(float("nan"))
    with pytest.raises(ValueError):
        atomic_files.json_digest(float("inf"))


def test_a_file_digest_is_its_sha256(tmp_path: Path) -> None:
    content = os.urandom(3 * (1 << 20) + 1)
    atomic_files.write_bytes(tmp_path / "a", content)
    assert atomic_files.file_digest(tmp_path / "a") == hashlib.sha256(content).hexdigest()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """The renames, links and fsyncs of this process, as (call, path of the target or of what is synced)."""
    calls: list[tuple[str, Path]] = []
    replace, link, fsync = os.replace, os.link, os.fsync

    def spy_fsync(descriptor: int) -> None:
        calls.append(("fsync", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))
        fsync(descriptor)

    def spy(name: str, call: Any) -> Any:
        return lambda *paths: (calls.append((name, Path(paths[1]))), call(*paths))

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "replace", spy("rename", replace))
    monkeypatch.setattr(os, "link", spy("link", link))
    return calls


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for the path of a descriptor")
def test_a_file_is_synced_before_it_is_renamed_and_its_folder_after(
    tmp_path: Path, calls: list[tuple[str, Path]]
) -> None:
    """Otherwise a power failure can leave an empty file under the final name, or undo the rename."""
    path = tmp_path / "unit.bin"
    atomic_files.write_bytes(path, b"all of it")
    (content, temporary), *after = calls
    assert content == "fsync" and temporary.parent == tmp_path and temporary != path
    assert after == [("rename", path), ("fsync", tmp_path)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for the path of a descriptor")
def test_the_folder_of_a_link_is_synced(tmp_path: Path, calls: list[tuple[str, Path]]) -> None:
    (tmp_path / "a").write_bytes(b"a")
    assert atomic_files.hard_link(tmp_path / "a", tmp_path / "new/b")
    assert calls == [("link", tmp_path / "new/b"), ("fsync", tmp_path / "new")]


def test_a_link_over_file_systems_is_a_copy_and_other_errors_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"a")
    for number in (errno.EXDEV, errno.EMLINK, errno.ENOTSUP):
        monkeypatch.setattr(os, "link", raising(OSError(number, "no")))
        assert not atomic_files.hard_link(tmp_path / "a", tmp_path / "b")
    monkeypatch.setattr(os, "link", raising(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        atomic_files.hard_link(tmp_path / "a", tmp_path / "b")


def raising(error: Exception) -> Any:
    def call(*_: Any) -> None:
        raise error

    return call


def test_the_size_and_digest_of_a_file_that_is_being_written(tmp_path: Path) -> None:
    with atomic_files.atomic_write(tmp_path / "a") as file:
        file.write(b"abc")
        digest = atomic_files.size_and_sha256(file)
    assert digest == {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}


def test_an_array_is_written_with_its_digests(tmp_path: Path) -> None:
    array = np.arange(5, dtype="<u4")
    digest = atomic_files.write_npy(tmp_path / "a.npy", array)
    content = (tmp_path / "a.npy").read_bytes()
    assert (np.load(tmp_path / "a.npy") == array).all()
    expected = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert digest == {**expected, "content": hashlib.sha256(array.tobytes()).hexdigest()}
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):  # reading them back would run code
        atomic_files.write_npy(tmp_path / "b.npy", np.array([{}], dtype=object))


def test_a_small_file_reaches_a_store_whole_and_is_never_a_link(tmp_path: Path) -> None:
    """Too small to leave the buffer of the local file by itself."""
    store = UPath("memory://atomic/a.bin")
    with atomic_files.atomic_write(store) as file:
        file.write(b"abc")
    assert store.read_bytes() == b"abc"
    (tmp_path / "b").write_bytes(b"b")
    assert not atomic_files.hard_link(store, tmp_path / "c")
    assert not atomic_files.hard_link(tmp_path / "b", UPath("memory://atomic/d.bin"))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_uploads_of_killed_processes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    dead, live, other = (
        tmp_path / name for name in (f"{atomic_files.UPLOAD_PREFIX}1", f"{atomic_files.UPLOAD_PREFIX}2", "gpts-data")
    )
    for path in (dead, live, other):
        path.write_bytes(b"half")
    (tmp_path / f"{atomic_files.UPLOAD_PREFIX}link").symlink_to(other)
    with live.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        atomic_files.remove_dead_uploads(tmp_path)
    assert not dead.exists()
    assert len(list(tmp_path.iterdir())) == 3


def test_an_upload_holds_its_file_until_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = UPath("memory://bucket/unit.arrow")
    with atomic_files.atomic_write(path) as file:
        file.write(b"all of it")
        atomic_files.remove_dead_uploads.cache_clear()
        atomic_files.remove_dead_uploads(tmp_path)
        assert [entry.name.startswith(atomic_files.UPLOAD_PREFIX) for entry in tmp_path.iterdir()] == [True]
    assert path.read_bytes() == b"all of it"
    assert not list(tmp_path.iterdir())


def test_the_first_upload_of_a_process_removes_what_killed_ones_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"{atomic_files.UPLOAD_PREFIX}dead").write_bytes(b"half of it")
    atomic_files.remove_dead_uploads.cache_clear()
    atomic_files.write_bytes(UPath("memory://atomic/b.bin"), b"abc")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_for_a_new_file_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is then no temporary file to remove."""
    monkeypatch.setattr(atomic_files, "open", raising(OSError(errno.ENOSPC, "full")), raising=False)
    with pytest.raises(StorageError, match="No space left"):
        atomic_files.write_bytes(tmp_path / "unit.bin", b"all of it")

"""Only temporary files that we named are removed; whatever else lies in a folder stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpts_data.pipelines.storage.atomic_files import atomic_write, is_temporary
from gpts_data.pipelines.storage.lock import remove_temporaries

OURS = "0a1b.arrow.gpts-data-host.example-17-140234.tmp"
OTHERS = ("thesis.tmp", "a.arrow.host-17-140234.tmp", "gpts-data-notes.tmp", "a.gpts-data-host-1-x.tmp", OURS + ".bak")


@pytest.mark.parametrize("below", [True, False])
def test_only_our_temporary_files_are_removed(tmp_path: Path, below: bool) -> None:
    (tmp_path / "folder").mkdir()
    for folder in (tmp_path, tmp_path / "folder"):
        for name in (OURS, *OTHERS):
            (folder / name).write_bytes(b"half")
    (tmp_path / "other").write_bytes(b"whole")
    (tmp_path / f"link.{OURS}").symlink_to(tmp_path / "other")
    remove_temporaries(tmp_path, tmp_path / "absent", below=below)
    assert sorted(os.listdir(tmp_path)) == sorted([*OTHERS, "folder", "other", f"link.{OURS}"])
    assert sorted(os.listdir(tmp_path / "folder")) == sorted([*OTHERS, *([] if below else [OURS])])


def test_the_files_of_atomic_write_are_such(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "unit.arrow"):
        (name,) = os.listdir(tmp_path)
        assert is_temporary(name)

"""Free and used space below a path, whether or not the path exists."""

from __future__ import annotations

import os
from pathlib import Path

from gpts_data.pipelines.storage.disk import existing, refuses, used_bytes


def test_where_a_mix_can_be_written(tmp_path: Path) -> None:
    assert refuses(tmp_path / "a/b/mix") is None
    assert existing(tmp_path / "a/b/mix") == tmp_path
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert refuses(tmp_path / "file/mix") == os.strerror(20)
    assert refuses(Path("/proc/mix")) is not None


def test_used_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(bytes(7))
    (tmp_path / "c").write_bytes(bytes(5))
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    assert used_bytes(tmp_path) == 12 + (tmp_path / "gone").lstat().st_size
    assert used_bytes(tmp_path / "none") == 0

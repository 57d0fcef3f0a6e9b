"""Files in stores and on disk: what lies behind a link is not ours to remove, and Ctrl-C ends an upload."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpts_data.pipelines.storage.paths import as_path, is_store, remove, upload


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "file").write_bytes(b"kept")
    (tmp_path / ".build").symlink_to(tmp_path / "fast")
    remove(tmp_path / ".build")
    remove(tmp_path / ".build")
    assert [path.name for path in tmp_path.rglob("*")] == ["fast", "file"]


def test_ctrl_c_ends_an_upload_instead_of_starting_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = as_path("memory://mix/file")
    assert is_store(path)
    attempts: list[str] = []

    def interrupt(source: str, target: str) -> None:
        attempts.append(target)
        raise KeyboardInterrupt

    monkeypatch.setattr(path.fs, "put_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        upload(tmp_path / "file", path)
    assert len(attempts) == 1

"""What lies behind a link is not ours to remove."""

from __future__ import annotations

from pathlib import Path

from gpts_data.pipelines.storage.paths import remove


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "file").write_bytes(b"kept")
    (tmp_path / ".build").symlink_to(tmp_path / "fast")
    remove(tmp_path / ".build")
    remove(tmp_path / ".build")
    assert [path.name for path in tmp_path.rglob("*")] == ["fast", "file"]

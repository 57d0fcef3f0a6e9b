"""Files in stores and on disk: what lies behind a link is not ours to remove, and Ctrl-C ends an upload."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpts_data.pipelines.errors import UsageError
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


@pytest.mark.parametrize("text", ["s3:/x", "s3://", "S3://", "gs:/bucket/mix", "s3:///"])
def test_an_address_without_a_bucket_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=rf"{text}: expected a bucket after two slashes, such as (s3|gs)://bucket/mix"):
        as_path(text)


def test_the_scheme_of_an_address_may_have_capitals() -> None:
    assert as_path("MEMORY://bucket/Mix") == as_path("memory://bucket/Mix")
    assert as_path("./s3:/x") == Path("s3:/x") and as_path("C:/mix") == Path("C:/mix")

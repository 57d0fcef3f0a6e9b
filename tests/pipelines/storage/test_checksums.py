"""A file that is not as it was written is noticed, and the message says what was found and what was expected."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from gpts_data.pipelines.storage.atomic_files import FileDigest, atomic_write, file_digest, write_bytes
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum, checksum_of, checksum_so_far, damage

CONTENT = bytes(range(256)) * 9000  # more than one block


@pytest.fixture(params=["xxh3", "sha256"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Checksum | FileDigest]:
    path = tmp_path / "unit.arrow"
    write_bytes(path, CONTENT)
    if request.param == "xxh3":
        return path, checksum(path)
    return path, {"bytes": len(CONTENT), "sha256": file_digest(path)}


def test_the_three_ways_to_a_checksum_agree(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as file:
        file.write(CONTENT)
        so_far = checksum_so_far(file)
    assert so_far == checksum(tmp_path / "a") == checksum_of(CONTENT)
    assert so_far["bytes"] == len(CONTENT)


def test_every_kind_of_damage_is_noticed(
    written: tuple[Path, Checksum | FileDigest], caplog: pytest.LogCaptureFixture
) -> None:
    path, expected = written
    assert damage(path, expected) is None
    flipped = bytearray(CONTENT)
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    digest = str(dict(expected)["xxh3" if "xxh3" in expected else "sha256"])
    assert str(damage(path, expected)).endswith(f"expected {digest}")
    path.write_bytes(CONTENT[:-1])
    assert damage(path, expected) == "found 2,303,999 bytes, expected 2,304,000"
    path.unlink()
    with caplog.at_level(logging.WARNING, "gpts_data"):
        assert not all_intact("source 'web', unit a:0-3", {path: expected})
    assert [record.getMessage() for record in caplog.records] == [
        "source 'web', unit a:0-3: unit.arrow: found no file; it is made again"
    ]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """It has 0 bytes, as the samples of a unit without dropped documents have."""
    os.mkfifo(tmp_path / "samples")
    assert damage(tmp_path / "samples", checksum_of(b"")) == "found no regular file"

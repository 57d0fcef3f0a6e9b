"""The manifest seals itself: no byte of it can change unnoticed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gpts_data.mixer.format.manifest import read_manifest, write_manifest
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import UsageError, VerificationError


def test_every_bit_of_it(tmp_path: Path) -> None:
    """All bits of a small manifest, one after the other."""
    write_manifest(tmp_path, {"windows": 3, "shards": [{"file": "a", "bytes": 10}]})
    path = tmp_path / "manifest.json"
    content = path.read_bytes()
    assert read_manifest(tmp_path)["windows"] == 3
    for i in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[i // 8] ^= 1 << i % 8
        path.write_bytes(flipped)
        with pytest.raises(VerificationError):
            read_manifest(tmp_path)


def test_the_environment_is_outside_the_root_digest(mix: Mix, tmp_path: Path) -> None:
    shutil.copytree(mix.path, tmp_path / "mix")
    content = {k: v for k, v in mix.manifest.items() if k not in ("root_digest", "environment", "checksum")}
    assert write_manifest(tmp_path / "mix", content)["root_digest"] == mix.manifest["root_digest"]


def test_nothing_of_this_machine_is_hashed(mix: Mix) -> None:
    hashed = json.dumps({k: v for k, v in mix.manifest.items() if k not in ("environment", "checksum")})
    assert str(mix.path.parent) not in hashed


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a finished mix: no manifest.json"):
        read_manifest(tmp_path)
    (tmp_path / ".build").mkdir()
    with pytest.raises(UsageError, match="half-finished"):
        read_manifest(tmp_path)


def test_other_versions_are_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, {})
    path = tmp_path / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"format_version": 1', b'"format_version": 2'))
    with pytest.raises(VerificationError, match="format version 2, this gpts-data reads 1"):
        read_manifest(tmp_path)

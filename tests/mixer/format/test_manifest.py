"""The manifest seals itself: no byte of it can change unnoticed."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.format.content_digest import content_digest
from gpts_data.mixer.format.croissant import NAME as CROISSANT
from gpts_data.mixer.format.layout import DOCUMENTS
from gpts_data.mixer.format.manifest import DESCRIPTIONS, read_manifest, write_manifest
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.stages.finalize import CARD
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.pipelines.storage.atomic_files import file_digest
from gpts_data.validation.verify import Problem, verify


def test_a_flipped_bit_of_it(mix: Mix, tmp_path: Path) -> None:
    """Each 97th bit, so that each bit of a byte is among them."""
    path = Path(shutil.copy(mix.path / "manifest.json", tmp_path))
    content = path.read_bytes()
    assert read_manifest(tmp_path)["windows"] == mix.windows
    for i in range(0, len(content) * 8, 97):
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
    path.write_bytes(path.read_bytes().replace(b'"format_version": 2', b'"format_version": 1'))
    with pytest.raises(
        VerificationError, match="format version 1, this gpts-data reads 2; read the mix with the version"
    ):
        read_manifest(tmp_path)


def rewritten(folder: Path) -> str:
    """The root digest of a manifest that is made from the files of a mix."""
    manifest = read_manifest(folder)
    for entry in (*manifest["shards"], *manifest["files"]):
        path = folder / entry["file"]
        entry["bytes"], entry["sha256"] = path.stat().st_size, file_digest(path)
        if content := content_digest(path):
            entry["content"] = content
    content = {k: v for k, v in manifest.items() if k not in ("root_digest", "environment", "checksum")}
    return write_manifest(folder, content)["root_digest"]  # type: ignore[arg-type]


@pytest.fixture
def copy(mix: Mix, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mix.path, tmp_path / "mix"))


def test_another_encoding_has_the_same_root_digest_and_verifies(mix: Mix, copy: Path) -> None:
    for table in [*copy.glob("documents/*/*.parquet"), *copy.glob("validation/*.parquet")]:
        before = table.read_bytes()
        pq.write_table(pq.read_table(table), table, compression="snappy", row_group_size=3, use_dictionary=False)
        assert table.read_bytes() != before
    for array in copy.rglob("*.npy"):
        values = np.load(array)
        with array.open("wb") as file:
            np.lib.format.write_array(file, values, version=(2, 0))
    for name in DESCRIPTIONS:
        (copy / name).write_text("other words", encoding="utf-8")
    assert rewritten(copy) == mix.manifest["root_digest"]
    assert verify(copy) == []
    assert len(verify_with(copy, mix)) > 10


def verify_with(copy: Path, mix: Mix) -> list[Problem]:
    """What verify finds when the files of `copy` lie beside the manifest of `mix`."""
    shutil.copy(mix.path / "manifest.json", copy)
    return verify(copy)


@pytest.mark.parametrize("name", ["documents/web/00000.parquet", "validation/web.parquet"])
def test_another_value_has_another_root_digest(mix: Mix, copy: Path, name: str) -> None:
    rows = pq.read_table(copy / name).to_pylist()
    rows[0]["url"] = "https://example.org/other"
    pq.write_table(pa.Table.from_pylist(rows, DOCUMENTS), copy / name)
    assert rewritten(copy) != mix.manifest["root_digest"]


@pytest.mark.parametrize(
    "name", ["shards/train-00000.bin", "shards/train-00000.windows.npy", "tokenizer/tokenizer.json"]
)
def test_other_bytes_have_another_root_digest(mix: Mix, copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    assert rewritten(copy) != mix.manifest["root_digest"]


def test_the_root_digest_is_what_the_documentation_says(mix: Mix) -> None:
    manifest = json.loads((mix.path / "manifest.json").read_text(encoding="utf-8"))
    for key in ("root_digest", "environment", "checksum"):
        del manifest[key]
    manifest["files"] = [file for file in manifest["files"] if file["file"] not in ("README.md", "croissant.json")]
    for entry in manifest["files"]:
        if entry["file"].endswith((".parquet", ".npy")):
            del entry["bytes"], entry["sha256"]
        assert ("content" in entry) == ("sha256" not in entry)
    content = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert hashlib.sha256(content.encode()).hexdigest() == mix.manifest["root_digest"]


def test_what_only_describes_the_mix_is_named(mix: Mix) -> None:
    assert DESCRIPTIONS == (CARD, CROISSANT) and all((mix.path / name).is_file() for name in DESCRIPTIONS)


def test_versions_and_the_order_of_entries(mix: Mix) -> None:
    """What programs that read the file depend on, and what makes equal mixes equal bytes."""
    manifest = mix.manifest
    assert (manifest["format"], manifest["format_version"]) == ("gpts-data mix", 2)
    names = [entry["file"] for entry in manifest["files"]]
    assert names == sorted(names) and len(set(names)) == len(names)
    assert [shard["file"] for shard in manifest["shards"]] == [f"shards/train-{n:05}.bin" for n in range(4)]
    assert [source["name"] for source in manifest["recipe"]["source"]] == ["web", "books", "notes"]
    environment = manifest["environment"]
    assert environment["python"] == platform.python_version()
    for library in ("gpts-data", "datatrove", "tokenizers", "pyarrow", "numpy", "numba", "xxhash"):
        assert environment["libraries"][library] == version(library)
    assert environment["encoders"] == sorted(environment["encoders"]) and environment["encoders"]


def test_encoders_are_listed_in_the_order_given_and_outside_the_root_digest(tmp_path: Path) -> None:
    plain = write_manifest(tmp_path, {"windows": 3})
    manifest = write_manifest(tmp_path, {"windows": 3}, ["b 1", "a 2"])
    assert manifest["environment"]["encoders"] == ["b 1", "a 2"]
    assert manifest["root_digest"] == plain["root_digest"] and manifest["checksum"] != plain["checksum"]


def test_equal_values_are_equal_bytes_whatever_their_order(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"windows": 3, "tokens": 9})
    before = (tmp_path / "manifest.json").read_bytes()
    write_manifest(tmp_path, {"tokens": 9, "windows": 3})
    assert (tmp_path / "manifest.json").read_bytes() == before

"""P5: any flipped bit, missing, extra, swapped or cut file is found and named."""

from __future__ import annotations

import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.format.manifest import write_manifest
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import trace
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.validation.inspect import decode_window
from gpts_data.validation.report.collect import collect_report
from gpts_data.validation.verify import verify
from tests.support.seal import reseal


@pytest.fixture
def copy(mix: Mix, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mix.path, tmp_path / "mix"))


def named(folder: Path, **options: bool) -> list[str]:
    return [problem.file for problem in verify(folder, **options)]


def all_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_whole_mix(mix: Mix) -> None:
    assert verify(mix.path) == verify(mix.path, quick=True) == []


def test_it_reports_progress_in_bytes(mix: Mix) -> None:
    calls: list[tuple[str, str, int, int]] = []
    verify(mix.path, progress=lambda *call: calls.append(call[:4]))
    total = sum((mix.path / name).stat().st_size for name in all_files(mix.path) if name != "manifest.json")
    assert {call[:2] for call in calls} == {("verify", "")}
    assert calls[-1][2:] == (total, total)


def test_one_flipped_bit_anywhere(copy: Path) -> None:
    """Ten random bits of every file, and the first and the last."""
    rng = random.Random(1)
    for name in all_files(copy):
        path = copy / name
        content = path.read_bytes()
        bits = [0, len(content) * 8 - 1, *(rng.randrange(len(content) * 8) for _ in range(10))] if content else []
        for bit in bits:
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            assert named(copy) == [name], (name, bit)
        path.write_bytes(content)
    assert verify(copy) == []


def test_what_the_hub_s_clients_add_is_theirs(copy: Path) -> None:
    for name in (".gitattributes", ".cache/huggingface/download/a.metadata", ".git/HEAD"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("theirs", encoding="utf-8")
    assert verify(copy) == []
    for name in (".cache/other", ".gitattributes.bin", ".gitignore", "shards/.git/x"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("not theirs", encoding="utf-8")
        assert named(copy) == [name]
        (copy / name).unlink()


def test_a_link_to_a_folder_is_extra_and_not_followed(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("extra", encoding="utf-8")
    (copy / "more").symlink_to(tmp_path / "other", target_is_directory=True)
    (copy / "circle").symlink_to(copy, target_is_directory=True)
    assert named(copy) == ["circle", "more"]


def test_missing_files(copy: Path) -> None:
    for name in all_files(copy):
        (copy / name).rename(copy.parent / "away")
        assert named(copy) == [name]
        (copy.parent / "away").rename(copy / name)


@pytest.mark.parametrize("name", ["notes.txt", "shards/train-00004.bin", "documents/web/99999.parquet", ".hidden/x"])
def test_extra_files(copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"x")
    assert named(copy) == named(copy, quick=True) == [name]


def test_swapped_shards(copy: Path) -> None:
    a, b = copy / "shards/train-00000.bin", copy / "shards/train-00001.bin"
    content = a.read_bytes()
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    problems = verify(copy)
    assert [problem.file for problem in problems] == ["shards/train-00000.bin", "shards/train-00001.bin"]
    assert "it is the content of shards/train-00001.bin" in problems[0].problem


def test_cut_file(copy: Path) -> None:
    path = copy / "shards/train-00002.bin"
    path.write_bytes(path.read_bytes()[:-1])
    assert named(copy) == named(copy, quick=True) == ["shards/train-00002.bin"]


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        verify(tmp_path / "nothing")


def test_an_order_that_is_not_the_schedules(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        rows = np.load(copy / "shards/train-00001.windows.npy")
        np.save(copy / "shards/train-00001.windows.npy", rows[::-1])

    reseal(copy, change)
    assert named(copy) == ["shards/train-00001.windows.npy"]


def test_ids_beyond_the_vocabulary(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        shard = np.fromfile(copy / "shards/train-00000.bin", "<u2")
        shard[17] = 400
        shard.tofile(copy / "shards/train-00000.bin")
        manifest["shards"][0]["highest_id"] = 400

    reseal(copy, change)
    assert named(copy) == ["shards/train-00000.bin"]
    mix = open_mix(copy)
    for read in (partial(trace, mix, 17), partial(decode_window, mix, 0), partial(collect_report, mix)):
        with pytest.raises(
            VerificationError, match="row 0 has the id 400, expected ids below 400; run gpts-data verify"
        ):
            read()


def test_a_waterfall_that_does_not_sum(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["waterfall"]["books"]["kept"] -= 1

    reseal(copy, change)
    fall = open_mix(copy).manifest["waterfall"]["books"]
    read, kept, dropped = fall["read"], fall["kept"], sum(fall["dropped"].values())
    assert read == kept + dropped + 1
    expected = f"books: {read:,} documents read, but {kept:,} kept and {dropped:,} dropped make {read - 1:,}"
    assert [p.problem for p in verify(copy)][:1] == [expected]


def test_kept_documents_that_no_table_has(copy: Path) -> None:
    """The waterfall adds up, but one document that it calls kept is neither for training nor held out."""

    def change(manifest: dict[str, Any]) -> None:
        for count in ("read", "kept"):
            manifest["waterfall"]["books"][count] += 1

    reseal(copy, change)
    assert [problem.file for problem in verify(copy)] == ["manifest.json", "outcomes/books"]
    assert "documents kept, but" in verify(copy)[0].problem and "documents kept, expected" in verify(copy)[1].problem


@pytest.mark.parametrize("table", ["documents/books/00002.parquet", "validation/web.parquet"])
def test_a_table_without_its_last_document(copy: Path, table: str) -> None:
    def change(manifest: dict[str, Any]) -> None:
        rows = pq.read_table(copy / table)
        pq.write_table(rows.slice(0, rows.num_rows - 1), copy / table)
        for entry in manifest["files"]:
            if entry["file"] == table:
                entry["documents"] -= 1

    reseal(copy, change)
    assert any("expected" in problem.problem and "documents with" in problem.problem for problem in verify(copy))


def test_a_digest_of_other_values(copy: Path) -> None:
    """The root digest covers it in place of the file's bytes, so it must be that of the values in the file."""
    reseal(copy, lambda manifest: None)
    manifest = {k: v for k, v in open_mix(copy).manifest.items() if k not in ("root_digest", "environment", "checksum")}
    entries = {entry["file"]: entry for entry in manifest["files"]}  # type: ignore[attr-defined]
    changed = ["documents/web/00000.parquet", "shards/train-00000.windows.npy"]
    for name in changed:
        entries[name]["content"] = "0" * 64
    write_manifest(copy, manifest)  # type: ignore[arg-type]
    assert named(copy) == changed


def test_an_array_that_is_a_pickle(copy: Path) -> None:
    """Without a digest of its values only the sha256 would be compared."""
    name = "documents/web/_00000.ids.npy"

    def change(manifest: dict[str, Any]) -> None:
        np.save(copy / name, np.array([{}], object), allow_pickle=True)
        next(entry for entry in manifest["files"] if entry["file"] == name).pop("content")

    reseal(copy, change)
    assert named(copy) == [name]


def test_shares_that_are_not_the_largest_remainder(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["recipe"]["source"][0]["weight"] = 54

    reseal(copy, change)
    assert any("by its weight" in problem.problem for problem in verify(copy))

"""A mix of a stranger, with digests computed anew: refused with one line, and nothing outside of it is read or linked.

benchmarks/hostile.py tries thousands of these with all commands.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.mixer.export.export import export
from gpts_data.mixer.format.manifest import read_manifest
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import trace
from gpts_data.mixer.format.training_order import TrainingOrder, window_of_source
from gpts_data.pipelines.errors import GptsDataError, UsageError, VerificationError
from gpts_data.validation.inspect import inspect
from gpts_data.validation.run_files import ModelSizes, read_mix, read_result, read_run_file
from gpts_data.validation.verify import verify
from tests.conftest import EXAMPLES
from tests.support.seal import SEALS, reseal, seal

WRONG: tuple[Any, ...] = (None, True, -1, 0, 2**63 - 1, 2**64, 0.5, 1e308, "", "..", "/etc/passwd", "a\0", [], {}, [[]])
RESULT = {
    **dict.fromkeys(("first_loss", "last_loss", "unigram_entropy", "epochs"), 1.5),
    "parameters": 9,
    "steps": 3,
    "tokens": 9,
    "mix_root_digest": "0" * 64,
    "validation_bits_per_byte": {"web": 1.0},
}
SIZES = {
    **dict.fromkeys(("vocab_size", "width", "layers", "heads", "kv_heads", "head_dim", "ffn", "context"), 8),
    "rope_theta": 1e4,
    "norm_eps": 1e-6,
}


@pytest.fixture
def copy(mix: Mix, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mix.path, tmp_path / "mix"))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in items for place in places(item, (*path, key)))]


def changed(content: Any, data: st.DataObject) -> Any:
    """A copy of JSON in which one value is another or missing."""
    content = json.loads(json.dumps(content))
    *parents, last = data.draw(st.sampled_from([place for place in places(content) if place]))
    parent = content
    for key in parents:
        parent = parent[key]
    if data.draw(st.booleans()):
        parent[last] = data.draw(st.sampled_from(WRONG))
    else:
        del parent[last]
    return content


@settings(max_examples=2 * EXAMPLES)
@given(data=st.data())
def test_any_value_of_a_manifest(mix: Mix, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """What is read either works or raises one of our errors, whatever the manifest says."""
    content = {key: value for key, value in mix.manifest.items() if key not in SEALS}
    folder = tmp_path_factory.mktemp("hostile")
    for entry in mix.path.iterdir():
        if entry.name != "manifest.json":
            (folder / entry.name).symlink_to(entry)  # stays cheap; what it links to is refused as outside
    seal(folder, changed(content, data))
    assert all(problem.problem for problem in verify(folder, quick=True))
    try:
        opened = Mix(mix.path, read_manifest(folder))  # the files of the real mix
    except VerificationError as error:
        assert "\n" not in str(error)
        return
    for use in (inspect, lambda mix: TrainingOrder(mix).read(0, 3), lambda mix: window_of_source(mix, 0, 1)):
        try:
            use(opened)
        except GptsDataError as error:
            assert error.exit_code in (2, 6)


@given(data=st.data())
def test_any_value_of_the_files_of_a_run(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / "result.json").write_text(json.dumps(changed(RESULT, data)))
    (run / "config.json").write_text(json.dumps(changed(SIZES, data)))
    for read in (read_result, lambda run: read_run_file(run / "config.json", ModelSizes)):
        try:
            read(run)
        except UsageError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("content", [b"", b"NaN", b"[]", b"[" * 100_000, b'{"a": 1e999}', b'"\\ud800"', b"1" * 6000])
def test_what_is_no_json_object(copy: Path, content: bytes) -> None:
    (copy / "manifest.json").write_bytes(content)
    with pytest.raises(VerificationError, match=r"manifest\.json: "):
        read_manifest(copy)
    for name, read in (("result.json", read_result), ("mix.json", read_mix)):
        (copy / name).write_bytes(content)
        with pytest.raises(UsageError, match=name):
            read(copy)


def set_source(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["sources"]["web"].update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_source("pass_windows", 0), r"sources\.web\.pass_windows: found 0, expected int >= 1"),
        (set_source("windows", 10**12), "windows"),
        (set_source("share", 0.9), r"sources\.web\.share: found 0\.9"),
        (lambda manifest: manifest["shards"][0].update(windows=10**9), "shards"),
        (lambda manifest: manifest["tokenizer"].update(eos_id=60_000), r"tokenizer\.eos_id: found 60,000"),
        (lambda manifest: manifest["files"][0].update(file="../../outside"), "expected a path inside of the mix"),
        (lambda manifest: manifest["files"][0].update(file="/etc/passwd"), "expected a path inside of the mix"),
        (lambda manifest: manifest["files"][0].update(file="a\\b"), "expected a path inside of the mix"),
        (lambda manifest: manifest["files"].append(manifest["files"][0]), "twice"),
    ],
)
def test_the_message_names_the_key(copy: Path, change: Any, message: str) -> None:
    reseal(copy, change)
    with pytest.raises(VerificationError, match=message):
        open_mix(copy)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "circle"])
def test_files_of_another_kind_are_neither_read_nor_linked(copy: Path, tmp_path: Path, kind: str) -> None:
    outside, path = tmp_path / "outside", copy / "shards/train-00000.bin"
    path.rename(outside)  # the right bytes, in the wrong place
    make = {"link": lambda: path.symlink_to(outside), "pipe": lambda: os.mkfifo(path), "folder": path.mkdir}
    make.get(kind, lambda: path.symlink_to(path))()
    (problem,) = verify(copy)
    assert problem.file == "shards/train-00000.bin"
    for use in (
        lambda: export(open_mix(copy), "llmc", tmp_path / "out"),
        lambda: TrainingOrder(open_mix(copy)).read(0, 1),
        lambda: open_mix(copy).row(0, 0),
    ):
        with pytest.raises(VerificationError, match=r"train-00000\.bin"):
            use()
    assert outside.stat().st_nlink == 1 and not (tmp_path / "out").exists()


def test_a_snapshot_in_the_hub_s_cache_is_links_to_its_blobs(mix: Mix, tmp_path: Path) -> None:
    snapshot = tmp_path / "datasets--me--mix/snapshots/0123abc"
    blobs = tmp_path / "datasets--me--mix/blobs"
    blobs.mkdir(parents=True)
    for number, path in enumerate(sorted(path for path in mix.path.rglob("*") if path.is_file())):
        link = snapshot / path.relative_to(mix.path)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, blobs / str(number))
        link.symlink_to(blobs / str(number))
    assert verify(snapshot) == []


def test_code_in_the_tokenizer_s_folder_is_found_and_not_exported(copy: Path, tmp_path: Path) -> None:
    (copy / "tokenizer/modeling_gpts.py").write_text("raise SystemExit\n")
    entry = {"file": "tokenizer/modeling_gpts.py", "bytes": 0, "sha256": "0" * 64}
    reseal(copy, lambda manifest: manifest["files"].append(entry))
    (problem,) = verify(copy)
    assert problem.file == "tokenizer/modeling_gpts.py" and problem.problem.startswith("extra file")
    export(open_mix(copy), "nanogpt", tmp_path / "out")
    assert (tmp_path / "out/tokenizer/tokenizer.json").exists()
    assert not (tmp_path / "out/tokenizer/modeling_gpts.py").exists()


def test_tables_and_arrays_of_another_kind(copy: Path) -> None:
    """Their digests are right, their content is not what its name says."""
    for path in sorted((copy / "documents/web").glob("*.parquet")):
        pq.write_table(pq.read_table(path).drop_columns("url"), path)
    np.save(copy / "shards/train-00001.windows.npy", np.zeros(7))
    reseal(copy)
    assert {problem.file for problem in verify(copy)} >= {"manifest.json"}
    with pytest.raises(VerificationError, match="expected a table"):
        for position in range(0, 100 * 64, 64):
            trace(open_mix(copy), position)
    with pytest.raises(VerificationError, match="found another array"):
        trace(open_mix(copy), 101 * 64)


def test_a_tokenizer_that_is_not_the_manifest_s(copy: Path) -> None:
    reseal(copy, lambda manifest: manifest["tokenizer"].update(digest="f" * 64))
    assert [problem.file for problem in verify(copy)] == ["tokenizer/tokenizer.json"]
    with pytest.raises(VerificationError, match="found a tokenizer with 400 entries"):
        trace(open_mix(copy), 5)

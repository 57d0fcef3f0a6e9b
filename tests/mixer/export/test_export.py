"""Every export is read back by the other project's reader, or by its published layout; every id is compared."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tokenizers import Tokenizer

from gpts_data.cli.export import FORMAT_NAMES
from gpts_data.mixer.export import byte_layouts, nanogpt_files, window_files
from gpts_data.mixer.export import export as module
from gpts_data.mixer.export.commands import command, missing_validation
from gpts_data.mixer.export.export import FORMATS, Exported, export
from gpts_data.mixer.export.formats import export_files, modded_nanogpt
from gpts_data.mixer.export.window_files import WindowFile, document_start_mask
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.pipelines.errors import ForeignFolderError, LockedError, StorageError, UsageError, VerificationError
from gpts_data.pipelines.storage.atomic_files import file_digest


def training(mix: Mix) -> np.ndarray:
    return np.concatenate([mix.shard(i) for i in range(len(mix.shards))])


def held_out(mix: Mix) -> np.ndarray:
    return np.concatenate([mix.validation(name) for name in mix.sources])


def runs(ids: list[int], eos_id: int) -> list[int]:
    """Starts of documents in a window, by the definition."""
    return [i for i in range(len(ids)) if i == 0 or ids[i - 1] == eos_id]


@pytest.fixture(scope="module")
def mix(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """A mix of several shards with end-of-text at both edges of windows too, and two in a row."""
    copy = open_mix(shutil.copytree(mix.path, tmp_path_factory.mktemp("planted") / "mix"))
    assert len(copy.shards) > 2 and all(len(copy.validation(name)) for name in copy.sources)
    ids = np.fromfile(copy.shards[1], "<u2").reshape(-1, copy.window)
    ids[3, -1] = ids[4, 0] = ids[8, -1] = ids[9, 5] = ids[9, 6] = ids[-1, -1] = copy.eos_id
    ids.tofile(copy.shards[1])
    return copy


@pytest.fixture(params=FORMAT_NAMES)
def exported(request: pytest.FixtureRequest, mix: Mix, tmp_path: Path) -> tuple[str, Path, Exported]:
    out = tmp_path / "out"
    return request.param, out, export(mix, request.param, out)


def test_the_command_knows_every_format() -> None:
    assert tuple(FORMATS) == FORMAT_NAMES


def test_nanogpt(mix: Mix, tmp_path: Path) -> None:
    """As its get_batch reads: np.memmap(os.path.join(data_dir, 'train.bin'), dtype=np.uint16, mode='r')."""
    export(mix, "nanogpt", tmp_path / "out")
    for name, windows in (("train.bin", training(mix)), ("val.bin", held_out(mix))):
        found = np.memmap(tmp_path / "out" / name, dtype=np.uint16, mode="r")
        assert np.array_equal(found, windows.ravel())


def test_nanogpt_meta(mix: Mix, tmp_path: Path) -> None:
    """As sample.py uses it: [stoi[c] for c in prompt], "".join([itos[i] for i in ids])."""
    export(mix, "nanogpt", tmp_path / "out")
    meta = pickle.loads((tmp_path / "out/meta.pkl").read_bytes())
    assert set(meta) == {"vocab_size", "itos", "stoi"} and meta["vocab_size"] == mix.vocab_size
    assert set(meta["itos"]) == set(range(mix.vocab_size))
    tokenizer = Tokenizer.from_file(str(mix.tokenizer / "tokenizer.json"))
    ids = training(mix)[:3].ravel().tolist()
    text = "".join(meta["itos"][i] for i in ids)
    assert text == tokenizer.decode(ids, skip_special_tokens=False) and len(text) > len(ids)
    prompt = "\nThe history of printing: 1455?"
    assert tokenizer.decode([meta["stoi"][character] for character in prompt]) == prompt
    assert all(meta["itos"][number] == text for text, number in meta["stoi"].items())
    assert meta["stoi"]["<|endoftext|>"] == mix.eos_id


def test_nanogpt_config(mix: Mix, tmp_path: Path) -> None:
    """Executed as configurator.py executes it, among the global variables of train.py."""
    path = tmp_path / "out/config/train_mix.py"
    export(mix, "nanogpt", tmp_path / "out")
    variables: dict[str, Any] = {"os": os, "config_file": str(path)}
    exec(path.read_text(encoding="utf-8"), variables)
    assert (Path("data") / variables["dataset"] / "meta.pkl").exists()
    assert variables["block_size"] == mix.window
    per_iteration = variables["batch_size"] * variables["block_size"] * variables["gradient_accumulation_steps"]
    assert variables["max_iters"] * per_iteration >= mix.tokens
    assert variables["max_iters"] % variables["eval_interval"] == 0  # so the last iteration saves a checkpoint
    assert f"block_size = {mix.window - 1}\n" in nanogpt_files.config(mix, 1)  # one window: block_size + 1 tokens


def read_llmc(path: Path) -> np.ndarray:
    """As llm.c's dataloader.h: 256 int32, magic and version checked, the count too, then uint16 to the end."""
    content = path.read_bytes()
    header = np.frombuffer(content[:1024], "<i4")
    assert header[0] == 20240520 and header[1] == 1 and not header[3:].any()
    assert len(content) == 1024 + int(header[2]) * 2
    return np.frombuffer(content[1024:], "<u2")


def test_llmc(mix: Mix, tmp_path: Path) -> None:
    export(mix, "llmc", tmp_path / "out")
    files = sorted((tmp_path / "out").glob("train_*.bin"))
    assert [path.name for path in files] == [f"train_{i:05}.bin" for i in range(len(mix.shards))]
    assert all(np.array_equal(read_llmc(path), mix.shard(i).ravel()) for i, path in enumerate(files))
    assert np.array_equal(read_llmc(tmp_path / "out/val_00000.bin"), held_out(mix).ravel())


def test_modded_nanogpt(mix: Mix, tmp_path: Path) -> None:
    """Every document, and every window's part of one, begins with end-of-text; nothing else differs."""
    export(mix, "modded-nanogpt", tmp_path / "out")
    files = sorted((tmp_path / "out").glob("train_*.bin"))
    assert len(files) == len(mix.shards)
    for path, windows in ((files[1], mix.shard(1)), (tmp_path / "out/val_00000.bin", held_out(mix))):
        pieces = [
            [mix.eos_id, *(int(i) for i in window[a:b] if i != mix.eos_id)]
            for window in windows
            for a, b in itertools.pairwise([*runs(window.tolist(), mix.eos_id), mix.window])
        ]
        assert read_llmc(path).tolist() == [i for piece in pieces for i in piece]


def test_modded_nanogpt_of_one_shard(mix: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loader opens a second file before it yields the first batch."""
    monkeypatch.setattr(window_files, "CHUNK", 3)
    shard = mix.manifest["shards"][0]
    copy = Mix(mix.path, {**mix.manifest, "shards": [shard], "windows": shard["windows"]})
    files = modded_nanogpt(copy)
    assert [file.name for file in files] == ["train_00000.bin", "train_00001.bin", "val_00000.bin"]
    assert [file.windows for file in files[:2]] == [shard["windows"] // 2, -(-shard["windows"] // 2)]
    halves = []
    for file in files[:2]:
        content = io.BytesIO()
        assert sum(file.write(content)) == file.windows
        halves += np.frombuffer(content.getvalue()[1024:], "<u2").tolist()
    ids = [i for i in halves if i != mix.eos_id]
    assert ids == [i for i in mix.shard(0).ravel().tolist() if i != mix.eos_id]


def test_datatrove(mix: Mix, tmp_path: Path) -> None:
    """datatrove's own dataset, which nanotron's Nanoset is made of: windows, and positions by the index."""
    pytest.importorskip("torch")
    from datatrove.utils.dataset import DatatroveFolderDataset

    export(mix, "datatrove", tmp_path / "out")
    for folder, windows in (("train", training(mix)), ("validation", None)):
        path = str(tmp_path / "out" / folder)
        dataset = DatatroveFolderDataset(path, seq_len=mix.window - 1, return_positions=True)
        if windows is None:  # it reads the files by name
            windows = np.concatenate([mix.validation(name) for name in sorted(mix.sources)])
        assert len(dataset) == len(windows)
        for i, window in enumerate(windows):
            row = dataset[i]
            assert np.array_equal(row["input_ids"].numpy(), window)
            starts = runs(window.tolist(), mix.eos_id)
            assert np.flatnonzero(row["positions"].numpy() == 0).tolist() == starts


def test_datatrove_index_and_metadata(mix: Mix, tmp_path: Path) -> None:
    export(mix, "datatrove", tmp_path / "out")
    for number in range(len(mix.shards)):
        path = tmp_path / f"out/train/train-{number:05}.ds"
        ids, ends = np.fromfile(path, "<u2"), np.fromfile(f"{path}.index", "<u8").astype(int)
        assert ends[-1] == len(ids) and (np.diff(ends, prepend=0) > 0).all()
        assert all(ids[end - 1] == mix.eos_id or end % mix.window == 0 for end in ends)
        assert np.isin(np.flatnonzero(ids == mix.eos_id) + 1, ends).all()
        name, count, _ = Path(f"{path}.metadata").read_text(encoding="utf-8").split("\n")
        assert name == "tokenizer|2" and int(count) == len(ids)


def read_megatron(prefix: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Sequences and document indices by the layout of megatron/core/datasets/indexed_dataset.py."""
    index = prefix.with_suffix(".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00" and np.frombuffer(index[9:17], "<u8")[0] == 1 and index[17] == 8
    n_sequences, n_documents = np.frombuffer(index[18:34], "<u8").tolist()
    lengths = np.frombuffer(index, "<i4", n_sequences, 34)
    pointers = np.frombuffer(index, "<i8", n_sequences, 34 + 4 * n_sequences)
    documents = np.frombuffer(index, "<i8", n_documents, 34 + 12 * n_sequences)
    assert len(index) == 34 + 12 * n_sequences + 8 * n_documents
    ids = prefix.with_suffix(".bin").read_bytes()
    return [np.frombuffer(ids, "<u2", n, at) for n, at in zip(lengths, pointers, strict=True)], documents


def test_megatron(mix: Mix, tmp_path: Path) -> None:
    export(mix, "megatron", tmp_path / "out")
    for name, windows in (("train", training(mix)), ("validation", held_out(mix))):
        sequences, documents = read_megatron(tmp_path / "out" / name)
        assert np.array_equal(np.stack(sequences), windows)
        assert documents.tolist() == list(range(len(windows) + 1))


def test_megatron_by_its_own_reader(mix: Mix, tmp_path: Path) -> None:
    reader = pytest.importorskip("megatron.core.datasets.indexed_dataset", exc_type=ImportError)
    export(mix, "megatron", tmp_path / "out")
    for name, windows in (("train", training(mix)), ("validation", held_out(mix))):
        dataset = reader.IndexedDataset(str(tmp_path / "out" / name))
        assert len(dataset) == len(windows) and len(dataset.document_indices) == len(windows) + 1
        assert all(np.array_equal(dataset[i], window) for i, window in enumerate(windows))


def test_parquet_by_datasets(mix: Mix, tmp_path: Path) -> None:
    import datasets

    export(mix, "parquet", tmp_path / "out")
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache")).with_format("numpy")
    assert set(found) == {"train", "validation"}
    sidecars = np.concatenate([np.load(path.with_suffix(".windows.npy"))["source"] for path in mix.shards])
    held = np.repeat(np.arange(len(mix.sources)), [len(mix.validation(name)) for name in mix.sources])
    for split, windows, sources in (("train", training(mix), sidecars), ("validation", held_out(mix), held)):
        rows = found[split]
        assert rows.features["input_ids"].feature.dtype == "uint16"
        assert np.array_equal(rows[:]["input_ids"], windows)
        assert list(rows[:]["source"]) == [mix.sources[i] for i in sources]
        starts = [row.tolist() for row in rows[:]["document_starts"]]
        assert starts == [runs(window.tolist(), mix.eos_id) for window in windows]


def test_parquet_card(mix: Mix, tmp_path: Path) -> None:
    """The hub reads the licenses, and one default config, so that tokenizer and export.json are no data."""
    recipe = json.loads(json.dumps(mix.manifest["recipe"]))
    for source in recipe["source"]:
        source["license"] = ["odc-by"]
    files = {file.name: file for file in export_files(Mix(mix.path, {**mix.manifest, "recipe": recipe}), "parquet")}
    content = io.BytesIO()
    list(files["README.md"].write(content))
    found = DatasetCard(content.getvalue().decode())
    assert found.data.license == ["odc-by"]
    config = found.data.configs[0]
    assert config["config_name"] == "default" and config["default"] is True
    assert [split["split"] for split in config["data_files"]] == ["train", "validation"]
    assert mix.manifest["root_digest"] in found.text and "| odc-by |" in found.text


def test_parquet_in_row_groups(mix: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in (byte_layouts, window_files):
        monkeypatch.setattr(part, "CHUNK", 7)
    export(mix, "parquet", tmp_path / "out")
    file = pq.ParquetFile(next((tmp_path / "out/data").glob("train-00000-*")))
    assert file.num_row_groups == -(-len(mix.shard(0)) // 7)
    assert np.array_equal(file.read()["input_ids"].to_pylist(), mix.shard(0))


def read_mds(folder: Path) -> np.ndarray:
    """By the layout of streaming/base/format/mds: a count, offsets, the columns, the samples."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    found = []
    for shard in index["shards"]:
        content = (folder / shard["raw_data"]["basename"]).read_bytes()
        count = int(np.frombuffer(content, "<u4", 1)[0])
        offsets = np.frombuffer(content, "<u4", count + 1, 4)
        assert len(content) == shard["raw_data"]["bytes"] == offsets[-1] and count == shard["samples"]
        columns = json.loads(content[4 + 4 * (count + 1) : offsets[0]])
        assert columns == {key: shard[key] for key in columns} and columns["column_names"] == ["tokens"]
        found += [np.frombuffer(content[a:b], "<u2") for a, b in zip(offsets, offsets[1:], strict=False)]
    return np.stack(found)


def test_mds(mix: Mix, tmp_path: Path) -> None:
    export(mix, "mds", tmp_path / "out")
    assert np.array_equal(read_mds(tmp_path / "out/train"), training(mix))
    assert np.array_equal(read_mds(tmp_path / "out/validation"), held_out(mix))


def test_mds_by_its_own_reader(mix: Mix, tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming", exc_type=ImportError)
    export(mix, "mds", tmp_path / "out")
    for split, windows in (("train", training(mix)), ("validation", held_out(mix))):
        dataset = streaming.StreamingDataset(local=str(tmp_path / "out"), split=split, batch_size=1)
        assert len(dataset) == len(windows)
        assert all(np.array_equal(dataset[i]["tokens"], window) for i, window in enumerate(windows))
        del dataset


def test_the_list_of_files_is_right(exported: tuple[str, Path, Exported], mix: Mix) -> None:
    name, out, done = exported
    assert repr(done) == f"Exported({name!r}, {len(done.manifest['files'])} files, {len(done.linked)} of them links)"
    assert done.created and done.manifest == json.loads((out / "export.json").read_text(encoding="utf-8"))
    listed = {entry["file"]: entry for entry in done.manifest["files"]}
    there = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there == listed.keys() | {"export.json"}
    for file, entry in listed.items():
        assert (out / file).stat().st_size == entry["bytes"] and file_digest(out / file) == entry["sha256"]
    assert done.manifest["export_format"] == name and done.manifest["mix_root_digest"] == mix.manifest["root_digest"]
    assert (done.manifest["format"], done.manifest["format_version"]) == ("gpts-data export", 1)
    assert list(listed) == [file.name for file in export_files(mix, name)]
    assert done.manifest["windows"] == mix.windows and done.manifest["validation_windows"] == len(held_out(mix))
    assert (out / "tokenizer/tokenizer.json").read_bytes() == (mix.tokenizer / "tokenizer.json").read_bytes()


def test_the_command_names_files_that_exist(exported: tuple[str, Path, Exported]) -> None:
    name, out, done = exported
    text = command(done.manifest, out)
    assert str(out) in text and "{" not in text
    words = [word.strip("'\"(),").split("=")[-1].strip("'\"") for word in shlex.split(text.replace("'", " "))]
    paths = [Path(word) for word in words if word.startswith(str(out))]
    assert paths and all(list(path.parent.glob(f"{path.name}*")) for path in paths)
    assert missing_validation(done.manifest) is None
    spaced = command(done.manifest, out / "my mixes")
    assert "my mixes'" in spaced or "my mixes/" in spaced
    missing = missing_validation({**done.manifest, "validation_windows": 0})
    assert missing and ("train.py stops without val.bin" in missing) == (name == "nanogpt")


def test_files_of_the_same_bytes_are_links(exported: tuple[str, Path, Exported], mix: Mix) -> None:
    name, out, done = exported
    assert "tokenizer/tokenizer.json" in done.linked
    if name == "datatrove":
        assert (out / "train/train-00001.ds").samefile(mix.shards[1])
        assert {"train/train-00000.ds", "validation/web.ds"} <= set(done.linked)


def test_without_links_the_bytes_are_the_same(
    exported: tuple[str, Path, Exported], mix: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another file system, and in other pieces."""

    def refuse(*_: object) -> None:
        raise OSError(18, os.strerror(18))

    name, _, done = exported
    monkeypatch.setattr(os, "link", refuse)
    if name != "parquet":  # a chunk is a row group there
        monkeypatch.setattr(window_files, "CHUNK", 7)
        monkeypatch.setattr(byte_layouts, "CHUNK", 7)
    other = export(mix, name, tmp_path / "other")
    assert other.linked == () and other.manifest == done.manifest


def test_again_does_nothing(exported: tuple[str, Path, Exported], mix: Mix) -> None:
    name, out, done = exported
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    again = export(mix, name, out)
    assert not again.created and again.manifest == done.manifest and again.linked == done.linked
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_a_missing_file_is_written_again(exported: tuple[str, Path, Exported], mix: Mix) -> None:
    name, out, done = exported
    (out / done.manifest["files"][0]["file"]).unlink()
    assert export(mix, name, out).manifest == done.manifest


@pytest.mark.parametrize("files", [1, 3, 5])
def test_killed_and_run_again(
    files: int, exported: tuple[str, Path, Exported], mix: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, done = exported
    out = tmp_path / "killed"
    count = 0

    def die(*arguments: Any) -> None:
        nonlocal count
        count += 1
        if count > files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(mix, name, out, die)
    (out / f"train.bin.gpts-data-host-1-1{'.tmp'}").write_bytes(b"half")
    assert not (out / "export.json").exists()
    assert export(mix, name, out).manifest == done.manifest
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".") or ".tmp" in path.name) == []


def test_progress_sums_to_the_windows(exported: tuple[str, Path, Exported], mix: Mix, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export(mix, exported[0], tmp_path / "again", lambda stage, name, done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] == mix.windows + len(held_out(mix))


def test_other_folders_are_refused(mix: Mix, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ForeignFolderError, match="has other files in it"):
        export(mix, "nanogpt", tmp_path / "other")
    with pytest.raises(ForeignFolderError, match="a file; expected a folder"):
        export(mix, "nanogpt", tmp_path / "other/notes.txt")
    with pytest.raises(ForeignFolderError, match="inside the mix"):
        export(mix, "nanogpt", mix.path / "export")
    export(mix, "nanogpt", tmp_path / "out")
    with pytest.raises(ForeignFolderError, match="holds an export of format nanogpt .* expected llmc"):
        export(mix, "llmc", tmp_path / "out")
    changed = Mix(mix.path, {**mix.manifest, "root_digest": "f" * 64})
    with pytest.raises(ForeignFolderError, match="expected nanogpt of ffffffff"):
        export(changed, "nanogpt", tmp_path / "out")
    (tmp_path / "out/val.bin").write_bytes(b"short")
    with pytest.raises(ForeignFolderError, match="5 bytes, expected"):
        export(mix, "nanogpt", tmp_path / "out")
    assert not (tmp_path / "other/.export").exists()
    with pytest.raises(UsageError, match="no format is called 'tar'"):
        export(mix, "tar", tmp_path / "new")


def test_a_cut_shard_is_refused_and_nothing_written(mix: Mix, tmp_path: Path) -> None:
    copy = open_mix(shutil.copytree(mix.path, tmp_path / "mix"))
    copy.shards[1].write_bytes(copy.shards[1].read_bytes()[:-2])
    for name in FORMAT_NAMES:
        with pytest.raises(VerificationError, match="train-00001.bin: .* run gpts-data verify"):
            export(copy, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mix_that_holds_nothing_out(mix: Mix, tmp_path: Path) -> None:
    sources = {
        name: {**facts, "validation": {**facts["validation"], "windows": 0}}
        for name, facts in mix.manifest["sources"].items()
    }
    copy = Mix(Path(shutil.copytree(mix.path, tmp_path / "mix")), {**mix.manifest, "sources": sources})
    for name in mix.sources:
        (copy.path / f"validation/{name}.bin").write_bytes(b"")
    for name in FORMAT_NAMES:
        done = export(copy, name, tmp_path / name)
        assert not [file for file in done.manifest["files"] if "val" in file["file"]]
        assert done.manifest["validation_windows"] == 0


def test_one_export_at_a_time(mix: Mix, tmp_path: Path) -> None:
    def second(*_: object) -> None:
        with pytest.raises(LockedError, match="another export"):
            export(mix, "nanogpt", tmp_path / "out")

    export(mix, "nanogpt", tmp_path / "out", second)


def test_a_full_disk(mix: Mix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(module, "hard_link", full)
    with pytest.raises(StorageError, match="No space left"):
        export(mix, "datatrove", tmp_path / "out")


def test_counts_that_do_not_fit(tmp_path: Path) -> None:
    rows = WindowFile(tmp_path / "x.bin", 2**22, 512, 0)
    with pytest.raises(UsageError, match="llm.c's header counts to 2,147,483,647"):
        next(byte_layouts.llmc(io.BytesIO(), [rows]))
    with pytest.raises(UsageError, match="MDS counts to 4,294,967,295"):
        byte_layouts.mds_entry(rows, "shard.00000.mds")


@given(arrays("<u2", st.tuples(st.integers(1, 5), st.integers(1, 9)), elements=st.integers(0, 3)))
def test_begins(windows: np.ndarray) -> None:
    found = document_start_mask(windows, 0)
    assert [np.flatnonzero(row).tolist() for row in found] == [runs(window.tolist(), 0) for window in windows]

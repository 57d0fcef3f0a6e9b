"""A tokenizer with more than 65,536 entries: ids are stored as uint32, and everything that reads a mix knows it.

The entries that text is encoded to have ids above 65,536 here, so a reader that takes two bytes for an id is noticed.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.export.commands import command
from gpts_data.mixer.export.export import export
from gpts_data.mixer.format.manifest import read_manifest
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import trace
from gpts_data.mixer.planning.estimate import estimate
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.artifact import END_OF_TEXT
from gpts_data.validation.inspect import decode_window
from gpts_data.validation.training.data_checks import find_data_problems
from gpts_data.validation.verify import verify

ADDED = 1 << 16  # entries before those of the other tokenizer


@pytest.fixture(scope="module")
def tokenizer(mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer of `mix` with ADDED entries before its own, which no text is encoded to."""
    folder = tmp_path_factory.mktemp("wide") / "tokenizer"
    shutil.copytree(mix.tokenizer, folder)
    content = json.loads((folder / "tokenizer.json").read_bytes())
    padding = {f"Ġpadding{n}": n for n in range(ADDED)}
    shifted = {token: number + ADDED for token, number in content["model"]["vocab"].items()}
    content["model"]["vocab"] = padding | shifted
    for token in content["added_tokens"]:
        token["id"] += ADDED
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "tokenizer.tiktoken").unlink()
    return folder


@pytest.fixture(scope="module")
def wide(recipe_file: Path, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    folder = tmp_path_factory.mktemp("wide-mix")
    kept = folder / "units"
    build(load_recipe(recipe_file), recipe_file.parent, folder / "mix", tokenizer=tokenizer, keep_units=kept)
    again = build(load_recipe(recipe_file), recipe_file.parent, folder / "again", tokenizer=tokenizer, keep_units=kept)
    assert again.reused == again.units  # the files of kept units pass their checks too
    assert again.manifest["root_digest"] == read_manifest(folder / "mix")["root_digest"]
    return open_mix(folder / "mix")


def training(mix: Mix) -> np.ndarray:
    return np.concatenate([mix.shard(number) for number in range(len(mix.shards))])


def test_the_windows_are_those_of_the_small_vocabulary(wide: Mix, mix: Mix) -> None:
    assert wide.manifest["tokenizer"]["dtype"] == "uint32" and "dtype" not in mix.manifest["tokenizer"]
    assert wide.shards[0].stat().st_size == 2 * mix.shards[0].stat().st_size
    assert wide.shard(0).dtype == np.dtype("<u4") and mix.shard(0).dtype == np.dtype("<u2")
    assert np.array_equal(training(wide), training(mix).astype(np.uint32) + ADDED)
    for name in mix.sources:
        assert np.array_equal(wide.validation(name), mix.validation(name).astype(np.uint32) + ADDED)


def test_plan_counts_the_bytes_of_the_given_tokenizers_ids(tokenizer: Path, mix: Mix, recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    wide, narrow = (estimate(recipe, recipe_file.parent, tokenizer=given) for given in (tokenizer, mix.tokenizer))
    assert wide.disk["cut"] == pytest.approx(2 * narrow.disk["cut"], abs=1)


def test_verify_inspect_and_trace_read_it(wide: Mix, mix: Mix) -> None:
    assert verify(wide.path) == []
    assert find_data_problems(wide) == []
    assert decode_window(wide, 3).text == decode_window(mix, 3).text
    origin, narrow = trace(wide, 1000), trace(mix, 1000)
    assert (origin.text, origin.document_id) == (narrow.text, narrow.document_id)
    assert origin.token_id == narrow.token_id + ADDED
    card = (wide.path / "README.md").read_text(encoding="utf-8")
    assert "little-endian uint32" in card and 'dtype="<u4"' in card
    assert "uint32 token ids" in (wide.path / "croissant.json").read_text(encoding="utf-8")


def test_a_manifest_with_another_dtype_is_refused(wide: Mix, tmp_path: Path) -> None:
    from gpts_data.mixer.format.check_manifest import check_consistency
    from gpts_data.pipelines.storage.typed_json import JsonError

    manifest = json.loads((wide.path / "manifest.json").read_bytes())
    del manifest["tokenizer"]["dtype"]
    with pytest.raises(JsonError, match="tokenizer.dtype: found uint16, expected uint32 for 65,936 entries"):
        check_consistency(manifest)


@pytest.mark.parametrize("name", ["nanogpt", "modded-nanogpt"])
def test_formats_of_two_bytes_refuse_it(wide: Mix, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"need uint32 ids, and {name} reads uint16; export to another format"):
        export(wide, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_llmc(wide: Mix, tmp_path: Path) -> None:
    """As its train_llama3.py: magic number 20240801, version 7, uint32."""
    export(wide, "llmc", tmp_path / "out")
    content = (tmp_path / "out/train_00000.bin").read_bytes()
    header = np.frombuffer(content[:1024], "<i4")
    assert header[:3].tolist() == [20240801, 7, wide.shard(0).size]
    assert np.array_equal(np.frombuffer(content[1024:], "<u4"), wide.shard(0).ravel())


def test_datatrove(wide: Mix, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from datatrove.utils.dataset import DatatroveFolderDataset

    done = export(wide, "datatrove", tmp_path / "out")
    assert "seq_len=63, token_size=4" in command(done.manifest, tmp_path / "out")
    dataset = DatatroveFolderDataset(str(tmp_path / "out/train"), seq_len=63, token_size=4, return_positions=True)
    windows = training(wide)
    assert len(dataset) == len(windows)
    assert all(np.array_equal(dataset[n]["input_ids"].numpy(), window) for n, window in enumerate(windows))
    metadata = (tmp_path / "out/train/train-00000.ds.metadata").read_text(encoding="utf-8")
    assert metadata.startswith("tokenizer|4\n")


def test_megatron(wide: Mix, tmp_path: Path) -> None:
    """By the layout of indexed_dataset.py: code 4 is int32."""
    export(wide, "megatron", tmp_path / "out")
    index, windows = (tmp_path / "out/train.idx").read_bytes(), training(wide)
    assert index[17] == 4
    pointers = np.frombuffer(index, "<i8", len(windows), 34 + 4 * len(windows))
    assert pointers.tolist() == list(range(0, windows.size * 4, wide.window * 4))
    assert np.array_equal(np.fromfile(tmp_path / "out/train.bin", "<i4").reshape(windows.shape), windows)


def test_megatron_by_its_own_reader(wide: Mix, tmp_path: Path) -> None:
    reader = pytest.importorskip("megatron.core.datasets.indexed_dataset", exc_type=ImportError)
    export(wide, "megatron", tmp_path / "out")
    dataset = reader.IndexedDataset(str(tmp_path / "out/train"))
    assert all(np.array_equal(dataset[n], window) for n, window in enumerate(training(wide)))


def test_parquet(wide: Mix, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    export(wide, "parquet", tmp_path / "out")
    table = pq.read_table(next((tmp_path / "out/data").glob("train-00000-*")))
    assert str(table.schema.field("input_ids").type.value_type) == "uint32"
    assert np.array_equal(np.array(table["input_ids"].to_pylist()), wide.shard(0))


def test_mds(wide: Mix, tmp_path: Path) -> None:
    export(wide, "mds", tmp_path / "out")
    entry = json.loads((tmp_path / "out/train/index.json").read_bytes())["shards"][0]
    assert entry["column_encodings"] == ["ndarray:uint32:64"] and entry["column_sizes"] == [256]
    content = (tmp_path / "out/train/shard.00000.mds").read_bytes()
    first = int(np.frombuffer(content, "<u4", 1, 4)[0])
    assert np.array_equal(np.frombuffer(content[first:], "<u4"), wide.shard(0).ravel())


def test_mds_by_its_own_reader(wide: Mix, tmp_path: Path) -> None:
    streaming = pytest.importorskip("streaming", exc_type=ImportError)
    export(wide, "mds", tmp_path / "out")
    dataset = streaming.StreamingDataset(local=str(tmp_path / "out"), split="train", batch_size=1)
    assert all(np.array_equal(dataset[n]["tokens"], window) for n, window in enumerate(training(wide)))


def test_the_loader_and_the_trainer_read_it(wide: Mix) -> None:
    torch = pytest.importorskip("torch")
    from gpts_data.mixer.format.training_order import TrainingOrder
    from gpts_data.validation.loader import Loader, TrainingWindows
    from gpts_data.validation.training.batches import BatchReader
    from gpts_data.validation.training.device import DistributedContext

    first = wide.shard(0)[:8].astype(np.int64)
    assert np.array_equal(next(iter(Loader(wide, 8))).numpy(), first)
    assert np.array_equal(next(iter(TrainingWindows(wide)))["input_ids"].numpy(), first[0])
    reader = BatchReader(TrainingOrder(wide), batch=8, steps=1, context=DistributedContext(0, 1, torch.device("cpu")))
    assert np.array_equal(reader.read(0).numpy(), first)


def test_the_end_of_text_is_counted_where_documents_end(wide: Mix, mix: Mix) -> None:
    tokenizer = json.loads((wide.tokenizer / "tokenizer.json").read_bytes())
    assert wide.eos_id == tokenizer["model"]["vocab"][END_OF_TEXT] == mix.eos_id + ADDED
    assert (training(wide) == wide.eos_id).sum() == (training(mix) == mix.eos_id).sum() > 0

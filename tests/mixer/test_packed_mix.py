"""`[packing] mode = "best-fit"`: documents that fit into a window are whole, and everything else is as before."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.cli.tables import show_mix, show_much_padding
from gpts_data.mixer.build import build
from gpts_data.mixer.format.find_document import find_documents
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.trace import is_padding, trace
from gpts_data.mixer.recipe import load_recipe, resolved
from gpts_data.pipelines.errors import RecipeError, UsageError
from gpts_data.tokenizer.encode import Encoder
from gpts_data.validation.explain.document import explain_document
from gpts_data.validation.inspect import inspect
from gpts_data.validation.verify import verify
from tests.conftest import prose

RECIPE = """
name = "packed"
tokens = {tokens}
window = 64
unit = 8000
shard_windows = 50
[packing]
mode = "{mode}"
[clean]
filters = []
[validation]
fraction = 0.02
"""
SOURCE = '[[source]]\nname = "{0}"\nweight = {1}\nfiles = "{0}.jsonl"\nid = "id"\nmax_epochs = 3\n'


def write_recipe(folder: Path, mode: str = "best-fit") -> Path:
    path = folder / f"{mode}.toml"
    text = RECIPE.format(tokens=19_200, mode=mode)
    path.write_text(SOURCE.format("web", 70) + SOURCE.format("notes", 30), encoding="utf-8")
    path.write_text(text.replace("[packing]", path.read_text(encoding="utf-8") + "[packing]"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources of documents from one word to five windows, with a copy; `notes` is repeated."""
    folder, rng = tmp_path_factory.mktemp("packed"), random.Random(5)
    for name, count in (("web", 400), ("notes", 40)):
        texts = [prose(rng, rng.randint(1, 100)) for _ in range(count)]
        texts[9] = texts[2]
        rows = (json.dumps({"id": f"{name}/{n}", "text": text}) + "\n" for n, text in enumerate(texts))
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def packed(folder: Path, mix: Mix) -> Mix:
    recipe = write_recipe(folder)
    build(load_recipe(recipe), folder, folder / "mix", tokenizer=mix.tokenizer)
    return open_mix(folder / "mix")


def stream_of(mix: Mix, number: int) -> np.ndarray:
    """The windows of a source in the order of its stream, joined."""
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    windows = np.concatenate([mix.shard(shard) for shard in range(len(mix.shards))])
    stream = np.empty((mix.manifest["sources"][mix.sources[number]]["pass_windows"], mix.window), np.uint16)
    mine = rows["source"] == number
    stream[rows["window"][mine]] = windows[mine]
    return stream.ravel()


def test_verify_and_the_mixture(packed: Mix) -> None:
    assert verify(packed.path) == []
    counts = packed.manifest["sources"]
    assert [counts[name]["windows"] for name in packed.sources] == [210, 90]
    assert counts["notes"]["epochs"] > 1 and len(packed.shards) == 6


def test_every_document_is_where_its_table_says_and_the_rest_is_padding(packed: Mix, folder: Path) -> None:
    encoder = Encoder(packed.tokenizer)
    for number, name in enumerate(packed.sources):
        texts = {row["id"]: row["text"] for row in map(json.loads, (folder / f"{name}.jsonl").open(encoding="utf-8"))}
        stream = stream_of(packed, number)
        used = np.zeros(len(stream), bool)
        table = pq.read_table(packed.path / "documents" / name)
        assert table.column("start").to_pylist() == sorted(table.column("start").to_pylist())
        cuts = 0
        for row in table.to_pylist():
            ids, start = encoder.encode([texts[row["id"]]])[0], row["start"]
            assert len(ids) == row["tokens"]
            found = stream[start : start + len(ids)]
            assert np.array_equal(found, ids[: len(found)])
            used[start : start + len(ids)] = True
            if start + len(ids) <= len(stream):
                crossed = (start + len(ids) - 1) // packed.window - start // packed.window
                assert crossed == (len(ids) - 1) // packed.window  # none of those that fit is cut
                cuts += crossed
        assert (stream[~used] == packed.eos_id).all()
        packing = packed.manifest["sources"][name]["packing"]
        assert packing["padding"] == (~used).sum() < 0.15 * len(used)  # with units of 30 documents
        assert packing["cuts"] >= cuts > 0
        assert np.array_equal(is_padding(packed, stream.reshape(-1, packed.window)).ravel(), ~used)


def test_trace_both_ways(packed: Mix) -> None:
    windows = np.concatenate([packed.shard(shard) for shard in range(len(packed.shards))])
    padding = np.flatnonzero(is_padding(packed, windows).ravel())
    for token in range(0, packed.tokens, 307):
        if token not in padding:
            origin = trace(packed, token)
            spans = [span for document in find_documents(packed, origin.document_id) for span in document.windows]
            assert any(token // packed.window in span.positions for span in spans)
    with pytest.raises(UsageError, match=f"token {padding[0]:,} is padding"):
        trace(packed, int(padding[0]))


def test_a_duplicate_names_the_document_that_it_repeats(packed: Mix) -> None:
    """The outcomes count the documents of a table, which is in another order than they were read."""
    documents = [*explain_document(packed, "notes/2"), *explain_document(packed, "notes/9")]
    (kept,) = [document.kept.document_id for document in documents if document.kept is not None]
    assert kept in ("notes/2", "notes/9")


def test_padding_has_no_labels_and_no_loss(packed: Mix) -> None:
    torch = pytest.importorskip("torch")
    from gpts_data.validation.loader import TrainingWindows
    from gpts_data.validation.loader import padding as find_padding
    from gpts_data.validation.model.model import GPTS, GPTSConfig

    items = list(TrainingWindows(packed))
    ids = torch.stack([item["input_ids"] for item in items])
    labels = torch.stack([item["labels"] for item in items])
    padding = is_padding(packed, ids.numpy())
    assert padding.any() and np.array_equal(labels.numpy() == -100, padding)
    assert np.array_equal(find_padding(ids, packed.eos_id).numpy(), padding)
    assert np.array_equal(find_padding(ids.numpy().astype(np.uint16), packed.eos_id), padding)
    assert torch.equal(find_padding(ids[0], packed.eos_id), torch.from_numpy(padding[0]))
    torch.manual_seed(0)
    model = GPTS(GPTSConfig(packed.vocab_size, width=32, layers=1, heads=4, kv_heads=2, head_dim=8, ffn=64))
    row = ids[padding.any(axis=1)][:1]
    length = int(np.flatnonzero(is_padding(packed, row.numpy())[0])[0])
    expected = model.loss(row[:, :length])
    assert torch.allclose(model.loss(row, padding_id=packed.eos_id), expected, atol=1e-5)


def interrupt(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
    if (stage, done) == ("pack", 5):
        raise KeyboardInterrupt


def test_a_build_that_was_interrupted_packs_only_the_rest_with_workers(folder: Path, packed: Mix, mix: Mix) -> None:
    recipe, again = load_recipe(write_recipe(folder)), folder / "again"
    with pytest.raises(KeyboardInterrupt):
        build(recipe, folder, again, tokenizer=mix.tokenizer, progress=interrupt)
    done = sorted(again.rglob("*.packing.json"))
    assert len(done) == 5
    starts = sorted(again.rglob("*.starts"))
    kept = {path: path.stat().st_ino for path in starts[1:]}
    starts[0].write_bytes(starts[0].read_bytes()[::-1])
    packings: dict[Path, int] = {}

    def record(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        if stage == "cut":
            packings.update((path, path.stat().st_ino) for path in kept)

    other = build(recipe, folder, again, tokenizer=mix.tokenizer, workers=2, progress=record)
    assert other.manifest["root_digest"] == packed.manifest["root_digest"]
    assert packings == kept


def test_the_default_leaves_no_trace(folder: Path) -> None:
    path = write_recipe(folder)
    assert "packing" not in resolved(load_recipe(write_recipe(folder, "stream")))
    with pytest.raises(RecipeError, match="packing.mode = 'tight', expected 'stream' or 'best-fit'"):
        load_recipe(write_recipe(folder, "tight"))
    path.write_text(path.read_text(encoding="utf-8").replace('"best-fit"', "true"), encoding="utf-8")
    with pytest.raises(RecipeError, match="packing.mode = True, expected 'stream' or 'best-fit'"):
        load_recipe(path)


def test_padding_is_shown_and_much_of_it_is_named(packed: Mix, capsys: pytest.CaptureFixture[str]) -> None:
    summary, sources = inspect(packed), packed.manifest["sources"]
    for name in packed.sources:
        tokens = sources[name]["packing"]["padding"]
        share = tokens / (sources[name]["pass_windows"] * packed.window)
        assert summary["sources"][name]["padding"] == {"tokens": tokens, "share": share}
    summary["sources"]["web"]["padding"] = {"tokens": 4_900, "share": 0.49}
    summary["sources"]["notes"]["padding"] = {"tokens": 49, "share": 0.049}
    show_mix(summary)
    assert "web: 4,900 tokens of padding (49.000%)" in capsys.readouterr().out
    show_much_padding(summary)
    shown = capsys.readouterr().out
    assert "source web: 49% of its tokens are padding" in shown and "notes" not in shown


def test_an_export_says_that_its_padding_has_no_mask(packed: Mix, mix: Mix, tmp_path: Path) -> None:
    for built in (packed, mix):
        out = tmp_path / str(built.is_packed)
        run = CliRunner().invoke(cli, ["export", str(built.path), "--format", "parquet", "--out", str(out)])
        assert run.exit_code == 0
        assert (f"loader.padding(ids, {built.eos_id})" in run.stdout) == built.is_packed

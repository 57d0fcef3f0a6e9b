"""What `plan` says is what a build then does, within what a sample can tell."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.planning.estimate import estimate
from gpts_data.mixer.planning.piece import RUN, runs
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import RecipeError, ShortSourceError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.reader import read
from gpts_data.pipelines.readers.source import Source, Unit
from tests.support.datasets import rows, write
from tests.support.hub import Hub
from tests.support.prose import documents as prose

PROGRAM = "from gpts_data.cli.main import cli; cli()"


def test_it_agrees_with_the_build(mix: Mix, recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    found = estimate(recipe, recipe_file.parent, tokenizer=mix.tokenizer)
    assert found.windows == mix.windows
    for name, one in found.sources.items():
        facts, fall = mix.manifest["sources"][name], mix.manifest["waterfall"][name]
        assert (one.windows, one.tokens) == (facts["windows"], facts["tokens"])
        assert one.read_documents == fall["read"]  # small sources are counted
        assert one.documents_estimate == pytest.approx(facts["documents"], rel=0.02, abs=1)
        assert one.available_interval[0] <= one.available_tokens <= one.available_interval[1]
        assert one.download_bytes == one.requests == 0  # files of one's own
    assert found.disk_bytes == sum(found.disk.values())
    assert found.disk["units"] < found.windows * recipe.window * 8  # and not a unit of 64 MB of text for each source
    assert re.fullmatch(r"Estimate\(313 windows, 3 sources, [\d,]+ bytes on disk, [^)]+ CPU seconds\)", repr(found))


def test_it_is_the_same_twice(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    one, other = (asdict(estimate(recipe, recipe_file.parent)) for _ in range(2))
    assert one["sources"] == other["sources"]


def test_what_cannot_be_is_refused_with_what_would_do(recipe_file: Path) -> None:
    said = r"'{}' is too short.*found .* after cleaning and dedup.*lower --tokens.*max_epochs"
    with pytest.raises(ShortSourceError) as short:
        estimate(load_recipe(recipe_file, 1_000_000), recipe_file.parent)
    for name, line in zip(("web", "books", "notes"), str(short.value).splitlines(), strict=True):
        assert re.search(said.format(name), line)
    with pytest.raises(ShortSourceError) as hopeless:
        estimate(load_recipe(recipe_file, 100_000_000), recipe_file.parent)
    assert "max_epochs" not in str(hopeless.value)  # so many repeats teach nothing


def test_repeats_take_no_room(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file, 1_000_000)
    repeated = replace(recipe, source=tuple(replace(source, max_epochs=40) for source in recipe.source))
    found = estimate(repeated, recipe_file.parent)
    assert found.disk["units"] < 5 * sum(one.available_tokens for one in found.sources.values())
    assert found.disk["mix"] > 2 * 1_000_000


def test_a_file_that_compresses_well_is_not_taken_for_a_short_one(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": f"{n} " + "the same words over and over, " * 40}) + "\n" for n in range(300))
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(lines.encode()))
    (tmp_path / "r.toml").write_text(SINGLE, encoding="utf-8")
    one = estimate(load_recipe(tmp_path / "r.toml"), tmp_path).sources["a"]
    assert one.read_bytes == pytest.approx(len(lines), rel=0.1)
    assert one.available_tokens > one.tokens


SINGLE = """
name = "single"
tokens = "5k"
window = 64
[tokenizer]
vocab_size = 300
sample = "20kB"
[[source]]
name = "a"
weight = 1
files = "a.jsonl.zst"
[clean]
filters = []
[dedup]
minhash = false
"""
RECIPE = """
name = "hub"
tokens = "60k"
window = 64
unit = "40kB"
[tokenizer]
vocab_size = 400
sample = "30kB"
[[source]]
name = "web"
weight = 1
dataset = "acme/web"
"""


def test_of_a_hub_source_the_columns_in_use_are_counted(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    with Hub(tmp_path / "hub") as hub:
        for part in range(2):
            write(hub.folder("acme/web") / f"train-{part}.parquet", rows(f"web-{part}", 600), 64, group=50)
        command = [sys.executable, "-c", PROGRAM, "plan", "--recipe", "recipe.toml", "--json"]
        done = subprocess.run(
            command, cwd=tmp_path, env=hub.env(tmp_path / "hf"), capture_output=True, text=True, encoding="utf-8"
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        whole = 0
        for path in hub.folder("acme/web").glob("*.parquet"):
            metadata = pq.read_metadata(path)
            text = metadata.schema.names.index("text")
            groups = (metadata.row_group(i).column(text) for i in range(metadata.num_row_groups))
            whole += sum(chunk.total_compressed_size for chunk in groups)
    one = found["sources"]["web"]
    share = one["read_bytes"] / (one["available_tokens"] / one["tokens"] * one["read_bytes"])
    assert 0 < one["download_bytes"] <= whole and one["requests"] > 0
    assert one["download_bytes"] == pytest.approx(whole * min(share, 1), rel=0.5)


def test_files_that_a_small_build_would_not_reach_are_looked_at_too(tmp_path: Path) -> None:
    """The first file is dropped whole, the second kept: what there is does not depend on how much is asked for."""
    texts = prose("beyond", 200_000)
    for name, n in (("a", 0), ("b", 1)):
        rows = [{"text": text if n else text[:40]} for text in texts]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "r.toml").write_text(
        SINGLE.replace("a.jsonl.zst", "*.jsonl").replace("filters = []", "min_characters = 100"), encoding="utf-8"
    )
    small, large = (estimate(load_recipe(tmp_path / "r.toml", n), tmp_path).sources["a"] for n in (1_000, 20_000))
    assert small.available_tokens == pytest.approx(large.available_tokens, rel=0.2)
    assert small.available_interval[0] <= large.available_tokens <= small.available_interval[1]


def test_what_a_filter_takes_out_of_a_text_is_not_kept() -> None:
    texts, kept = pa.array(["a line.\nanother", "dropped", *["kept"] * RUN]), pa.array(["a line.", *["kept"] * RUN])
    is_kept = pa.array([True, False, *[True] * RUN])
    assert runs(texts, kept, is_kept) == [(15 + 7 + 4 * (RUN - 2), 7 + 4 * (RUN - 2)), (8, 8)]
    assert runs(pa.array([], pa.string()), pa.array([], pa.string()), pa.array([], pa.bool_())) == []


def test_other_fields_of_a_line_are_no_text(tmp_path: Path) -> None:
    texts = prose("fields", 300_000)
    rows = [{"text": text, "html": "x" * 9 * len(text)} for text in texts]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "r.toml").write_text(SINGLE.replace("a.jsonl.zst", "a.jsonl"), encoding="utf-8")
    one = estimate(load_recipe(tmp_path / "r.toml", 20_000), tmp_path).sources["a"]
    assert one.available_tokens < sum(map(len, texts))  # a token is a byte or more


def test_a_source_shorter_than_a_window_is_short_however_often_it_may_be_repeated(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in prose("few", 4000)), encoding="utf-8"
    )
    recipe = SINGLE.replace("a.jsonl.zst", "a.jsonl").replace("window = 64", "window = 9000").replace("5k", "9k")
    (tmp_path / "r.toml").write_text(recipe.replace("[clean]", "max_epochs = 1000\n[clean]"), encoding="utf-8")
    with pytest.raises(ShortSourceError, match="too short"):
        estimate(load_recipe(tmp_path / "r.toml"), tmp_path)


def test_long_documents_in_lines_count_once_each(tmp_path: Path) -> None:
    """Most of the ranges of bytes that are sampled have no beginning of a document."""
    texts = prose("long", 3_000_000)
    n = len(texts) // 5
    long = ["\n".join(texts[i * n : (i + 1) * n]) * 8 for i in range(5)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in long), encoding="utf-8")
    (tmp_path / "r.toml").write_text(SINGLE.replace("a.jsonl.zst", "a.jsonl"), encoding="utf-8")
    one = estimate(load_recipe(tmp_path / "r.toml", 100_000), tmp_path).sources["a"]
    assert one.read_bytes == pytest.approx(sum(map(len, long)), rel=0.05)
    assert one.read_documents == 5


def copies_recipe(folder: Path, size: int, sources: tuple[str, ...] = ("a",)) -> Path:
    tables = "".join(f'[[source]]\nname = "{name}"\nweight = 1\nfiles = "{name}.jsonl"\n' for name in sources)
    head = SINGLE.split("[[source]]")[0].replace("5k", str(size))
    (folder / "r.toml").write_text(
        f"{head}{tables}[clean]\nfilters = []\n[validation]\nfraction = 0.0\n", encoding="utf-8"
    )
    return folder / "r.toml"


def write_lines(path: Path, texts: list[str]) -> None:
    path.write_text(
        "".join(json.dumps({"text": text, "id": n}) + "\n" for n, text in enumerate(texts)), encoding="utf-8"
    )


def test_copies_far_apart_are_not_available(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the source is in the sample, so of the copies a tenth."""
    monkeypatch.setattr("gpts_data.mixer.planning.source_sample.SAMPLE", 1_000_000)
    monkeypatch.setattr("gpts_data.mixer.planning.source_sample.WHOLE", 0)
    monkeypatch.setattr("gpts_data.mixer.planning.piece.PIECE_BYTES", 50_000)
    texts = prose("copies", 2_100_000)
    copied = texts[: len(texts) * 3 // 7]  # 30% of all
    mixed = random.Random(0).sample(texts + copied, len(texts) + len(copied))
    write_lines(tmp_path / "a.jsonl", mixed)
    one = estimate(load_recipe(copies_recipe(tmp_path, 1000)), tmp_path).sources["a"]
    assert one.sampled_share < 0.5
    assert one.duplicate_interval[0] - 0.05 < 0.3 < one.duplicate_interval[1] + 0.05
    write_lines(tmp_path / "a.jsonl", texts)
    alone = estimate(load_recipe(tmp_path / "r.toml"), tmp_path).sources["a"]
    assert one.available_tokens == pytest.approx(alone.available_tokens, rel=0.15)


def test_duplicates_are_those_of_the_files_that_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first file, which alone is read, each document is followed by its copy; the second has no copies."""
    monkeypatch.setattr("gpts_data.mixer.planning.source_sample.PIECE_BYTES", 50_000)
    texts = prose("files", 200_000)
    half = len(texts) // 2
    write_lines(tmp_path / "a.jsonl", [text for text in texts[:half] for _ in range(2)])
    write_lines(tmp_path / "b.jsonl", texts[half:])
    recipe = copies_recipe(tmp_path, 30_000)
    recipe.write_text(
        recipe.read_text(encoding="utf-8").replace('"a.jsonl"', '"?.jsonl"') + '[draw]\norder = "file"\n',
        encoding="utf-8",
    )
    one = estimate(load_recipe(recipe), tmp_path).sources["a"]
    assert one.files_read == 1
    assert one.duplicate_share == pytest.approx(0.5, abs=0.05)
    assert one.dropped["exact_duplicate"] > 0


def test_documents_of_an_earlier_source_are_not_available_again(tmp_path: Path) -> None:
    """Equal row numbers in two sources are no repeats; equal texts are."""
    texts = prose("between", 200_000)
    half = len(texts) // 2
    write_lines(tmp_path / "a.jsonl", texts[:half][::-1])  # those that `b` has come first
    write_lines(tmp_path / "b.jsonl", texts[half // 2 :])
    recipe = load_recipe(copies_recipe(tmp_path, 1000, ("a", "b")))
    named = replace(recipe, source=tuple(replace(source, id="id") for source in recipe.source))
    small, large = (estimate(replace(named, tokens=n), tmp_path).sources["b"] for n in (1000, 40_000))
    assert small.duplicate_share < 0.1 and small.dropped.get("id_duplicate", 0) == 0  # the mix has little of a
    repeated = (half - half // 2) / (len(texts) - half // 2)
    assert large.duplicate_share == pytest.approx(repeated * 0.6, abs=0.2)
    assert large.dropped["exact_duplicate"] > 0


def test_many_small_files_are_not_all_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = prose("small", 400_000)
    for number, text in enumerate(texts):
        write_lines(tmp_path / f"{number}.jsonl", [text])
    opened: set[str] = set()

    def counted(source: Source, unit: Unit, options: FetchOptions) -> Iterator[pa.RecordBatch]:
        opened.add(unit.file.name)
        return read(source, unit, options)

    monkeypatch.setattr("gpts_data.pipelines.readers.small_files.MANY", len(texts) + 1)  # they are not joined
    monkeypatch.setattr("gpts_data.mixer.planning.source_sample.MOST_PARTS", 50)
    monkeypatch.setattr("gpts_data.mixer.planning.piece.read", counted)
    (tmp_path / "r.toml").write_text(SINGLE.replace("a.jsonl.zst", "*.jsonl"), encoding="utf-8")
    one = estimate(load_recipe(tmp_path / "r.toml", 5000), tmp_path).sources["a"]
    assert len(opened) == 50 < len(texts) == one.files_total
    assert one.available_interval[0] < one.available_tokens < sum(map(len, texts))
    assert one.read_bytes / one.read_documents == pytest.approx(sum(map(len, texts)) / len(texts), rel=0.3)


def test_a_fault_in_a_later_file_is_found_as_by_a_build(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one", "url": "u"}\n', encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "two"}\n', encoding="utf-8")
    (tmp_path / "r.toml").write_text(SINGLE.replace('"a.jsonl.zst"', '"?.jsonl"\nurl = "url"'), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"no column 'url' in b\.jsonl"):
        estimate(load_recipe(tmp_path / "r.toml"), tmp_path)


def test_the_tokenizer_is_not_trained_on_more_text_than_there_is(recipe_file: Path) -> None:
    recipe = load_recipe(recipe_file)
    huge = replace(recipe, tokenizer=replace(recipe.tokenizer, sample=10**12))
    found = estimate(huge, recipe_file.parent)
    assert found.disk["sample"] < 10**6 and found.memory_bytes < 10**9
    assert found.cpu_seconds < 1000


def test_reasons_add_up(mix: Mix, recipe_file: Path) -> None:
    found = estimate(load_recipe(recipe_file), recipe_file.parent, tokenizer=mix.tokenizer)
    for name, one in found.sources.items():
        fall = mix.manifest["waterfall"][name]
        kept = one.read_documents - sum(one.dropped.values())
        assert kept == pytest.approx(fall["kept"], rel=0.2, abs=5)
        for reason in one.dropped.keys() | fall["dropped"].keys():
            outcome = fall["dropped"].get(reason, 0)
            assert one.dropped.get(reason, 0) == pytest.approx(outcome, abs=1), (name, reason)
        assert (one.files_read, one.files_total) == (
            mix.manifest["sources"][name]["files_read"],
            len(mix.manifest["sources"][name]["files"]),
        )

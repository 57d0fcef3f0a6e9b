"""The tokens that `plan` says a source has are those that a build finds, or an interval has them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.planning.estimate import estimate
from gpts_data.mixer.recipe import Recipe, load_recipe
from gpts_data.pipelines.errors import ShortSourceError
from tests.support.prose import documents as prose

RECIPE = """
name = "available"
tokens = "1k"
window = 64
unit = "50kB"
[tokenizer]
vocab_size = 300
sample = "20kB"
"""
SOURCE = """
[[source]]
name = "{name}"
weight = 1
files = "{files}"
"""
END = """
[clean]
filters = []
min_characters = {min_characters}
[validation]
fraction = {fraction}
"""


def write_recipe(folder: Path, *sources: tuple[str, str], fraction: float = 0.0, min_characters: int = 0) -> Recipe:
    tables = "".join(SOURCE.format(name=name, files=files) for name, files in sources)
    (folder / "recipe.toml").write_text(
        RECIPE + tables + END.format(fraction=fraction, min_characters=min_characters), encoding="utf-8"
    )
    return load_recipe(folder / "recipe.toml")


def write_lines(path: Path, texts: list[str]) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")


def found_by_build(recipe: Recipe, folder: Path) -> str:
    with pytest.raises(ShortSourceError) as short:
        build(recipe, folder, folder / "mix")
    return str(short.value)


def test_a_source_that_is_read_whole_is_short_where_a_build_finds_it_short(tmp_path: Path) -> None:
    """Its duplicates, a third of its documents, are the shortest ones; a tenth of its documents is held out.

    No tokenizer is given, so `plan` must train the one that the build trains.
    """
    texts = sorted(prose("exact", 150_000), key=len)
    write_lines(tmp_path / "a.jsonl", texts + texts[: len(texts) // 2])
    recipe = write_recipe(tmp_path, ("a", "a.jsonl"), fraction=0.1)
    one = estimate(recipe, tmp_path).sources["a"]
    assert one.available_interval == (one.available_tokens, one.available_tokens)
    short = replace(recipe, tokens=one.available_tokens + recipe.window)
    said = (
        f"'a' is too short: {short.windows[0] * 64:,} tokens are needed, found {one.available_tokens:,} after cleaning"
    )
    assert said in found_by_build(short, tmp_path)
    with pytest.raises(ShortSourceError, match=said):
        estimate(short, tmp_path)


def test_copies_in_an_earlier_source_are_those_of_the_documents_in_the_mix(tmp_path: Path) -> None:
    """Half of the tokens of `b` are in `a`, of which the mix takes a half: its first units in draw order."""
    texts = prose("earlier", 150_000)
    write_lines(tmp_path / "a.jsonl", texts[: len(texts) * 2 // 3])
    write_lines(tmp_path / "b.jsonl", texts[len(texts) // 3 :])
    recipe = write_recipe(tmp_path, ("a", "a.jsonl"), ("b", "b.jsonl"))
    recipe = replace(recipe, tokens=estimate(recipe, tmp_path).sources["a"].available_tokens)
    b = estimate(recipe, tmp_path).sources["b"]
    weights = recipe.windows[0], b.available_interval[1] // recipe.window + 20
    sources = tuple(replace(source, weight=weight) for source, weight in zip(recipe.source, weights, strict=True))
    found = found_by_build(replace(recipe, source=sources, tokens=sum(weights) * recipe.window), tmp_path)
    tokens = int(re.search(r"'b' is too short: .* found ([\d,]+) after", found)[1].replace(",", ""))  # type: ignore[index]
    low, high = b.available_interval
    assert low * 0.99 <= tokens <= high * 1.01  # the tokenizer depends on the weights


def test_a_file_counts_by_its_size_not_by_its_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of one large row group is kept, that of many small ones dropped; a quarter of both is in the sample."""
    for module in ("piece", "source_sample"):
        monkeypatch.setattr(f"gpts_data.mixer.planning.{module}.PIECE_BYTES", 10_000)
    monkeypatch.setattr("gpts_data.mixer.planning.source_sample.PIECES", 20)
    monkeypatch.setattr("gpts_data.mixer.planning.source_sample.SAMPLE", 200_000)
    monkeypatch.setattr("gpts_data.mixer.planning.source_sample.WHOLE", 0)
    texts = prose("groups", 800_000)
    half = len(texts) // 2
    pq.write_table(pa.table({"text": texts[:half]}), tmp_path / "a.parquet")
    short = [part for text in texts[half:] for part in (text[i : i + 90] for i in range(0, len(text), 90))]
    pq.write_table(pa.table({"text": short}), tmp_path / "b.parquet", row_group_size=200)
    recipe = write_recipe(tmp_path, ("a", "*.parquet"), min_characters=100)
    one = estimate(recipe, tmp_path).sources["a"]
    assert one.sampled_share < 0.7
    alone = estimate(write_recipe(tmp_path, ("a", "a.parquet"), min_characters=100), tmp_path).sources["a"]
    assert one.available_tokens == pytest.approx(alone.available_tokens, rel=0.1)

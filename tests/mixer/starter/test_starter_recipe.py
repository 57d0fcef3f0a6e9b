"""The recipe that `init` writes: columns, weights and tokens, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.starter.recipe import StarterRecipe, write_starter_recipe
from gpts_data.pipelines.errors import RecipeError, ShortSourceError
from tests.support.prose import documents


def jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def columns(folder: Path, name: str) -> tuple[str, str | None, str | None]:
    """The columns of the one source in a file."""
    starter = write_starter_recipe([str(folder / name)], folder / f"{name}.toml")
    (source,) = starter.sources
    return source.source.text, source.source.id, source.source.url


TEXTS = documents("columns", 40_000)
NUMBERS = range(len(TEXTS))


def test_columns_are_found_by_name_type_and_values(tmp_path: Path) -> None:
    table = {
        "text": list(NUMBERS),  # no strings
        "Content": TEXTS,
        "prompt": [text * 2 for text in TEXTS],  # longer, but without a usual name
        "id": ["same"] * len(TEXTS),  # of which deduplication would keep one document
        "doc_id": [None] * len(TEXTS),
        "WARC-Record-ID": [f"<urn:uuid:{n}>" for n in NUMBERS],
        "metadata": [{"url": f"https://example.org/{n}", "n": n} for n in NUMBERS],
    }
    pq.write_table(pa.table(table), tmp_path / "named.parquet")
    assert columns(tmp_path, "named.parquet") == ("Content", "WARC-Record-ID", "metadata.url")
    rows = [{"story_en": text, "digest": f"{n:064x}", "doc_id": n, "url": None} for n, text in enumerate(TEXTS)]
    jsonl(tmp_path / "longest.jsonl", rows)
    assert columns(tmp_path, "longest.jsonl") == ("story_en", "doc_id", None)
    lines = "".join(f'{n},web,"{text}"\n'.replace("\n\n", " ") for n, text in enumerate(TEXTS))
    (tmp_path / "table.csv").write_text(f"uuid,label,passage\n{lines}", encoding="utf-8")
    assert columns(tmp_path, "table.csv") == ("passage", "uuid", None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"n": 1, "label": "spam"}], r"no column .* text; found label \(strings, 4 characters on average\), n \(no"),
        ([{"url": "https://example.org/a/long/address"}], r"found url \(strings, 34 characters"),
        ([], "only empty files"),
    ],
)
def test_a_file_without_text_is_refused_with_its_columns(
    rows: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(RecipeError, match=message):
        write_starter_recipe([str(tmp_path / "a.jsonl")], tmp_path / "recipe.toml")
    assert not (tmp_path / "recipe.toml").exists()


def test_types_are_named_where_a_file_has_them(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "vector": [[0.5]], "b": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(RecipeError, match=r"found b \(string, 1 characters on average\), a \(int64\)"):
        write_starter_recipe([str(tmp_path / "a.parquet")], tmp_path / "recipe.toml")


def weighed(folder: Path, **sizes: int) -> StarterRecipe:
    """The recipe of sources with so many bytes of text, each in a file of its own, with as much beside the text."""
    for name, size in sizes.items():
        jsonl(folder / f"{name}.jsonl", [{"text": "word " * 20, "other": "x" * 100} for _ in range(size // 100)])
    return write_starter_recipe([str(folder)], folder / "recipe.toml")


def test_weights_are_per_cents_by_text_and_at_least_one(tmp_path: Path) -> None:
    starter = weighed(tmp_path, a=700_000, b=300_000, tiny=1_000)
    assert [source.source.weight for source in starter.sources] == [70, 30, 1]
    for source, size in zip(starter.sources, (700_000, 300_000, 1_000), strict=True):
        assert size * 0.9 < source.text_bytes < size * 1.1
    recipe = load_recipe(tmp_path / "recipe.toml")
    assert recipe.tokens == starter.tokens == 160_000
    for source, windows in zip(starter.sources, recipe.windows, strict=True):
        needed = windows * recipe.window
        assert needed <= source.text_bytes / 6 * source.source.max_epochs * 1.1
    assert [source.max_epochs for source in recipe.source] == [1, 1, 10]


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShortSourceError, match=r"too little text for a mix: found a [\d,]+ bytes, b .* at least 51,2"):
        weighed(tmp_path, a=100_000, b=1_000)
    assert not (tmp_path / "recipe.toml").exists()

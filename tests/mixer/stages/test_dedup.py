"""What a build drops as a duplicate: ids of several sources, numbers, scripts without spaces."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from tests.conftest import prose

CONTAMINATED = """
[[decontaminate.benchmark]]
name = "quiz"
files = "quiz.jsonl"
columns = ["q"]
"""
Rows = Sequence[Mapping[str, object]]
RECIPE = """
name = "case"
tokens = {tokens}
window = 64
{sources}
[clean]
filters = []
[dedup]
{dedup}
[validation]
fraction = 0.0
"""
SOURCE = """
[[source]]
name = "{name}"
weight = 1
files = "{name}.jsonl"
id = "id"
"""


def dropped(folder: Path, mix: Mix, sources: Mapping[str, Rows], dedup: str = "") -> dict[str, dict[str, int]]:
    """Build a mix of the rows of each source; returns the dropped documents of each source by reason."""
    for name, rows in sources.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    tables = "".join(SOURCE.format(name=name) for name in sources)
    (folder / "recipe.toml").write_text(
        RECIPE.format(tokens=2048 * len(sources), sources=tables, dedup=dedup), encoding="utf-8"
    )
    built = build(load_recipe(folder / "recipe.toml"), folder, folder / "mix", tokenizer=mix.tokenizer)
    reasons = {name: dict(fall["dropped"]) for name, fall in built.manifest["waterfall"].items()}
    for counts in reasons.values():
        counts.pop("over_budget", None)
    return reasons


def numbered(texts: Sequence[str]) -> Rows:
    """Rows whose ids are their numbers."""
    return [{"text": text, "id": str(i)} for i, text in enumerate(texts)]


def pages(seed: int) -> list[str]:
    rng = random.Random(seed)
    return [prose(rng, 100) for _ in range(30)]


def test_row_numbers_as_ids_of_two_sources_delete_nothing(tmp_path: Path, mix: Mix) -> None:
    assert dropped(tmp_path, mix, {"a": numbered(pages(1)), "b": numbered(pages(2))}) == {"a": {}, "b": {}}


def test_ids_of_one_pool_are_compared_across_sources(tmp_path: Path, mix: Mix) -> None:
    reasons = dropped(tmp_path, mix, {"a": numbered(pages(1)), "b": numbered(pages(2))}, 'id = "all"')
    assert reasons["a"] == {}
    assert reasons["b"]["id_duplicate"] > 1


def test_the_same_text_in_two_sources_is_dropped_whatever_its_id(tmp_path: Path, mix: Mix) -> None:
    sources = {"a": numbered(pages(1)), "b": numbered([*pages(2)[:5], *pages(1)[:3], *pages(2)[5:]])}
    assert dropped(tmp_path, mix, sources) == {"a": {}, "b": {"exact_duplicate": 3}}


@pytest.mark.parametrize(("dedup", "expected"), [("", {"id_duplicate": 1}), ("id = false", {})])
def test_an_id_that_repeats_in_a_source_names_a_document_twice(
    tmp_path: Path, mix: Mix, dedup: str, expected: dict[str, int]
) -> None:
    rows = [dict(row) for row in numbered(pages(1))]
    rows[1]["id"] = "0"
    assert dropped(tmp_path, mix, {"a": rows}, dedup) == {"a": expected}


def table_of_numbers(seed: int) -> str:
    rng = random.Random(seed)
    rows = (f"In {rng.randint(1900, 2020)} the station measured {rng.randint(0, 999)} mm of rain" for _ in range(40))
    return ". ".join(rows)


def test_tables_that_differ_in_their_numbers_are_kept(tmp_path: Path, mix: Mix) -> None:
    tables = [table_of_numbers(seed) for seed in range(10)]
    tables[1] = tables[0].replace("rain", "rain and snow", 1)
    assert dropped(tmp_path, mix, {"a": numbered(tables)}) == {"a": {"near_duplicate": 1}}


@pytest.mark.parametrize("letters", ["\u4e00\u9fa5", "\u0e01\u0e2e"], ids=["Chinese", "Thai"])
def test_near_copies_of_text_without_spaces_are_dropped(tmp_path: Path, mix: Mix, letters: str) -> None:
    rng = random.Random(3)
    alphabet = [chr(code_point) for code_point in range(ord(letters[0]), ord(letters[1]) + 1)]
    texts = ["".join(rng.choices(alphabet, k=200)) for _ in range(12)]
    texts[1] = texts[0][:195] + texts[2][:5]
    assert dropped(tmp_path, mix, {"a": numbered(texts)}) == {"a": {"near_duplicate": 1}}


def test_a_document_with_the_first_ngram_of_the_index_is_contaminated(tmp_path: Path, mix: Mix) -> None:
    """A benchmark of one text of 8 words has one n-gram, number 0."""
    words = "nine quick foxes never sleep under old oaks"
    (tmp_path / "quiz.jsonl").write_text(json.dumps({"q": words}) + "\n", encoding="utf-8")
    texts = pages(1)
    texts[3] = f"{texts[3]} {words} {texts[4][:100]}"
    assert dropped(tmp_path, mix, {"a": numbered(texts)}, CONTAMINATED) == {"a": {"contaminated": 1}}

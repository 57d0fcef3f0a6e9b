"""P6: every document that was read is kept or dropped for one reason, which is found by its id."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.outcomes import (
    KEPT,
    count_outcomes,
    find_dropped,
    mix_outcomes,
    outcome_files,
    outcome_numbers,
)
from gpts_data.mixer.recipe import Recipe, load_recipe
from gpts_data.pipelines.decontaminate.benchmarks import Benchmark
from gpts_data.pipelines.decontaminate.index import Decontaminate
from gpts_data.pipelines.errors import ShortSourceError, UsageError
from gpts_data.pipelines.storage.paths import load_npy
from gpts_data.validation.explain.document import MOST_REREAD, DocumentOutcome, explain_document
from gpts_data.validation.verify import verify
from tests.conftest import prose

RECIPE = """
name = "outcomes"
tokens = {tokens}
window = 32
unit = "8kB"

[draw]
order = "file"

[tokenizer]
vocab_size = 300
sample = "40kB"

[[source]]
name = "web"
weight = 2
files = "web.parquet"
id = "id"
url = "url"
at_least = {{ score = 2 }}

[[source]]
name = "notes"
weight = 1
files = "notes.jsonl"
id = "id"
max_damaged = 5

[validation]
fraction = 0.1

[clean]
filters = ["gopher_quality"]
gopher_quality = {{ min_doc_words = 10, min_stop_words = 0 }}
"""


def corpus(folder: Path) -> None:
    """Documents of which one each has every kind of outcome."""
    rng = random.Random(5)
    texts = [prose(rng, 60) for _ in range(120)]
    rows: list[dict[str, Any]] = [
        {"id": f"w{i}", "url": f"https://example.org/{i}", "score": 3, "text": text} for i, text in enumerate(texts)
    ]
    rows[10]["text"] = "Too short for a document."
    rows[11]["text"] = rows[2]["text"]
    rows[12]["score"] = 1
    rows[13]["url"] = rows[3]["url"]
    rows[14]["text"] = rows[4]["text"] + " And one more sentence."
    rows[15]["text"] = f"{rows[15]['text']} What does the zebra eat on a cold morning in the deep green valley"
    rows[16]["text"] = None
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, folder / "web.parquet", row_group_size=30)
    notes = [{"id": f"n{i}", "text": prose(rng, 60)} for i in range(60)]
    notes[5]["text"] = texts[6]
    lines = [json.dumps(note) for note in notes]
    lines[7] = '{"id": "n7", "text"'
    (folder / "notes.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    item = {"question": "what does the zebra eat on a cold morning in the deep green valley"}
    (folder / "quiz.jsonl").write_text(json.dumps(item) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outcomes")
    corpus(folder)
    return folder


def recipe_in(folder: Path, tokens: int = 7_000) -> Recipe:
    (folder / "recipe.toml").write_text(RECIPE.format(tokens=tokens), encoding="utf-8")
    quiz = Benchmark("quiz", files=("quiz.jsonl",), columns=("question",))
    return replace(load_recipe(folder / "recipe.toml"), decontaminate=Decontaminate((quiz,)), keep_dropped=3)


@pytest.fixture(scope="module")
def outcomes_mix(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    out = tmp_path_factory.mktemp("mixes") / "mix"
    build(recipe_in(folder), folder, out)
    assert verify(out) == []
    return open_mix(out)


def test_texts_of_kept_documents_are_those_of_the_source(outcomes_mix: Mix, folder: Path) -> None:
    texts = {row["id"]: row["text"] for row in pq.read_table(folder / "web.parquet").to_pylist()}
    held_out = pq.read_table(outcomes_mix.path / "validation/web.parquet").column("id").to_pylist()
    assert held_out
    for id in ["w0", "w1", *held_out]:
        outcome = only(explain_document(outcomes_mix, id, folder))
        assert outcome.text and texts[id].startswith(outcome.text) and (outcome.text == texts[id] or id in held_out)


def only(outcomes: list[DocumentOutcome]) -> DocumentOutcome:
    (outcome,) = outcomes
    return outcome


def test_the_table_has_every_document_and_adds_up(outcomes_mix: Mix) -> None:
    for source in outcomes_mix.sources:
        counts: Counter[str] = Counter()
        names = mix_outcomes(outcomes_mix, source)
        for entry in outcome_files(outcomes_mix, source):
            rows = load_npy(outcomes_mix.path / entry["file"])
            assert (np.sort(rows) == rows).all() and entry["bytes"] == 128 + 8 * len(rows)
            counts += Counter(names[number].reason for number in outcome_numbers(rows).tolist())
        assert counts == count_outcomes(outcomes_mix, source)
        waterfall = outcomes_mix.manifest["waterfall"][source]
        assert counts == {"kept": waterfall["kept"], **waterfall["dropped"]}
        assert counts.total() == waterfall["read"]
    assert KEPT.itemsize == 6


def test_every_document_is_kept_or_has_its_reason(outcomes_mix: Mix, folder: Path) -> None:
    reasons = {
        "w10": "gopher_short_doc",
        "w11": "exact_duplicate",
        "w12": "low_score",
        "w13": "url_duplicate",
        "w14": "near_duplicate",
        "w15": "contaminated",
        "w16": "null_text",
        "n5": "exact_duplicate",
    }
    for id in [f"w{i}" for i in range(30)] + [f"n{i}" for i in range(20) if i != 7]:
        assert only(explain_document(outcomes_mix, id, folder)).outcome == reasons.get(id, "kept"), id


def test_a_document_after_the_budget(outcomes_mix: Mix, folder: Path) -> None:
    names = mix_outcomes(outcomes_mix, "web")
    assert "over_budget" in [name.reason for name in names]
    for i in range(119, 20, -1):
        try:
            outcome = only(explain_document(outcomes_mix, f"w{i}", folder))
        except UsageError:
            continue  # not read
        assert outcome.outcome == "over_budget" and "exceeds the token budget" in outcome.detail
        return
    raise AssertionError("no document is over budget")


def test_the_value_and_the_threshold_are_read_from_the_source(outcomes_mix: Mix, folder: Path) -> None:
    short = only(explain_document(outcomes_mix, "w10", folder))
    assert (short.value, short.threshold, short.url) == (5, 10, "https://example.org/10")
    assert short.detail == "words: 5, expected at least 10 (gopher_quality.min_doc_words)"
    assert short.text == "Too short for a document."
    low = only(explain_document(outcomes_mix, "w12", folder))
    assert (low.value, low.threshold) == (1, 2)
    assert low.detail == "score: 1, expected at least 2 (at_least.score)"


def test_without_the_source_the_reason_is_known(outcomes_mix: Mix, tmp_path: Path) -> None:
    short = only(explain_document(outcomes_mix, "w10", tmp_path))
    assert (short.outcome, short.value, short.text) == ("gopher_short_doc", None, None)
    assert "cannot be read again" in short.detail and "--sources" in short.detail
    low = only(explain_document(outcomes_mix, "w12", tmp_path))
    assert (low.value, low.threshold) == (None, 2)


def test_of_many_documents_with_one_id_only_the_first_are_read_again(
    outcomes_mix: Mix, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = find_dropped(outcomes_mix, "w10")
    monkeypatch.setattr("gpts_data.validation.explain.document.find_dropped", lambda *_: [row] * (MOST_REREAD + 2))
    outcomes = explain_document(outcomes_mix, "w10", folder)
    assert [outcome.value for outcome in outcomes] == [5] * MOST_REREAD + [None] * 2
    assert outcomes[-1].detail == "gopher short doc"


def test_a_duplicate_names_the_document_that_it_repeats(outcomes_mix: Mix, folder: Path) -> None:
    for id, source, original in [("w11", "web", "w2"), ("w13", "web", "w3"), ("w14", "web", "w4"), ("n5", "web", "w6")]:
        outcome = only(explain_document(outcomes_mix, id, folder))
        assert outcome.kept is not None
        assert (outcome.kept.source, outcome.kept.document_id) == (source, original)
        assert f"{original} of {source}" in outcome.detail
        assert (outcome.value is not None) == (id == "w14")
    near = only(explain_document(outcomes_mix, "w14", folder))
    assert near.value is not None and 0.85 < near.value < 1 and near.threshold == 0.5
    assert "Jaccard similarity: 0.9" in near.detail and "expected below 0.5 (dedup.minhash.jaccard)" in near.detail


def test_a_contaminated_document_names_the_benchmark(outcomes_mix: Mix, folder: Path) -> None:
    outcome = only(explain_document(outcomes_mix, "w15", folder))
    assert outcome.benchmark == "quiz" and "zebra" in outcome.detail


def test_a_damaged_line_is_found_by_its_place(outcomes_mix: Mix, folder: Path) -> None:
    (damaged,) = outcomes_mix.manifest["sources"]["notes"]["damaged"]
    place = damaged.removesuffix(": broken_line")
    outcome = only(explain_document(outcomes_mix, place, folder))
    assert (outcome.outcome, outcome.detail) == ("broken_line", "not a line with one JSON object")


def test_an_id_that_was_not_read(outcomes_mix: Mix, folder: Path) -> None:
    with pytest.raises(UsageError, match="no document 'nobody' was read .*: its part of the source was not needed, or"):
        explain_document(outcomes_mix, "nobody", folder)
    with pytest.raises(UsageError, match="notes has the file notes.jsonl, but the build did not read this part"):
        explain_document(outcomes_mix, "notes.jsonl:999999", folder)


def test_samples_say_what_decided(outcomes_mix: Mix) -> None:
    rows = [
        json.loads(line)
        for line in (outcomes_mix.path / "dropped" / "web.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    by_reason = {row["reason"]: row for row in rows}
    assert by_reason["gopher_short_doc"]["value"] == 5 and by_reason["gopher_short_doc"]["threshold"] == 10
    assert 0.85 < by_reason["near_duplicate"]["value"] < 1 and by_reason["near_duplicate"]["threshold"] == 0.5
    assert by_reason["contaminated"]["benchmark"] == "quiz" and "zebra" in by_reason["contaminated"]["ngram"]


def test_samples_change_no_unit(folder: Path, tmp_path: Path) -> None:
    recipe = recipe_in(folder)
    few = build(replace(recipe, keep_dropped=0), folder, tmp_path / "few", keep_units=tmp_path / "units")
    many = build(recipe, folder, tmp_path / "many", keep_units=tmp_path / "units", tokenizer=tmp_path / "few/tokenizer")
    assert many.reused == many.units == few.units
    assert (tmp_path / "many/dropped/web.jsonl").exists() and not (tmp_path / "few/dropped").exists()


def test_a_source_that_is_too_short_shows_its_waterfall(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ShortSourceError) as error:
        build(recipe_in(folder, tokens=45_000), folder, tmp_path / "mix")
    lines = [line.split() for line in str(error.value).splitlines()[2:]]
    assert lines[:2] == [["120", "100.0%", "read"], ["113", "94.2%", "kept"]]
    assert ["1", "0.8%", "gopher_short_doc"] in lines and ["1", "0.8%", "near_duplicate"] in lines

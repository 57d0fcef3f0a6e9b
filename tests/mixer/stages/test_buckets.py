"""Quality buckets: several sources of one dataset by its scores are read once, and get what each would get alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.plan import Plan, make_plan
from gpts_data.mixer.recipe import Recipe, RecipeSource, Validation, check, resolved
from gpts_data.mixer.recipe_buckets import draw_name
from gpts_data.mixer.stages.prepare import Prepare, prepare
from gpts_data.mixer.stages.rounds import SourceUnits, prepare_until_filled
from gpts_data.pipelines.dedup.signatures import Dedup
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.execute import InProcess
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.readers import reader
from gpts_data.pipelines.readers.source import Unit
from gpts_data.tokenizer.artifact import Artifact, load

GROUPS, ROWS = 12, 20
WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "juniper", "kelp", "larch"]
BUCKETS = (
    RecipeSource("best", 60, ("web.parquet",), id="id", at_least={"score": 4}, max_epochs=3),
    RecipeSource("good", 30, ("web.parquet",), id="id", at_least={"score": 2}, below={"score": 4}),
    RecipeSource("rest", 10, ("web.parquet",), id="id", below={"score": 2}),
)
RECIPE = Recipe(
    "buckets",
    tokens=8192,
    source=BUCKETS,
    window=64,
    unit=1,  # each row group is a unit
    clean=CleanConfig(filters=()),
    dedup=Dedup(minhash=None, url=False),
    validation=Validation(0.0),
)


@pytest.fixture(scope="module")
def tokenizer(mix: Mix) -> Artifact:
    return load(mix.tokenizer)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parquet file whose scores are 0 to 5, some of them missing."""
    folder = tmp_path_factory.mktemp("buckets")
    rows = [
        {
            "id": f"d{number}",
            "text": " ".join(WORDS[number * k % 12] + str(number % (k + 2)) for k in range(1, 40)) + f" {number}",
            "score": None if number % 17 == 16 else number % 6,
        }
        for number in range(GROUPS * ROWS)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "web.parquet", row_group_size=ROWS)
    return folder


def planned(recipe: Recipe, folder: Path, out: Path, tokenizer: Artifact) -> Plan:
    check(recipe)
    return make_plan(recipe, folder, out, tokenizer, NAME)


def count_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each unit is opened from now on."""
    opened: Counter[str] = Counter()
    open_unit = reader._open_unit

    def counted(source: RecipeSource, unit: Unit, *rest: object) -> object:
        opened[unit.name] += 1
        return open_unit(source, unit, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(reader, "_open_unit", counted)
    return opened


def files(task: Prepare) -> list[bytes]:
    return [path.read_bytes() for path in (task.path, task.run, task.samples, task.dropped, task.receipt)]


def test_each_unit_is_read_once_and_prepared_as_if_its_bucket_were_alone(
    folder: Path, tmp_path: Path, tokenizer: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(RECIPE, folder, tmp_path / "mix", tokenizer)
    opened = count_reads(monkeypatch)
    sources, _ = prepare_until_filled(plan, tokenizer, InProcess(), lambda *_: None)
    assert set(opened.values()) == {1}
    assert len({len(source.tasks) for source in sources}) > 1  # some read on when others were filled
    together = [[files(task) for task in source.tasks] for source in sources]
    for source, contents in zip(sources, together, strict=True):
        for task, content in zip(source.tasks, contents, strict=True):
            prepare(task)
            assert files(task) == content
    again, _ = prepare_until_filled(plan, tokenizer, InProcess(), lambda *_: None)
    assert [source.reused for source in again] == [len(source.tasks) for source in sources]


def test_a_document_is_in_the_bucket_of_its_score_and_a_missing_score_is_in_none(
    folder: Path, tmp_path: Path, tokenizer: Artifact
) -> None:
    plan = planned(RECIPE, folder, tmp_path / "mix", tokenizer)
    dropped, kept = [], []
    for number in range(3):
        receipts = [prepare(task) for task in SourceUnits(plan, number, tokenizer).take(10**9, 1.0)]
        dropped.append(sum((Counter(receipt["dropped"]) for receipt in receipts), Counter[str]()))
        kept.append(sum(receipt["kept"] for receipt in receipts))
    scores = Counter(None if n % 17 == 16 else n % 6 for n in range(GROUPS * ROWS))
    assert kept == [scores[4] + scores[5], scores[2] + scores[3], scores[0] + scores[1]]
    assert dropped[0] == {"low_score": GROUPS * ROWS - kept[0]}
    assert dropped[1] == {"low_score": kept[2] + scores[None], "high_score": kept[0]}
    assert dropped[2] == {"high_score": GROUPS * ROWS - kept[2]}


def test_only_sources_that_read_alike_are_buckets_of_one_group() -> None:
    best, good, rest = BUCKETS
    assert {draw_name(BUCKETS, source) for source in BUCKETS} == {"best"}
    other = replace(rest, name="other", files=("books.parquet",))
    more_columns = replace(rest, name="more", below={"score": 2, "length": 9})
    assert [draw_name((*BUCKETS, other, more_columns), s) for s in (good, other, more_columns)] == [
        *("best", "other", "more"),
    ]
    without_below = best, replace(best, name="again", at_least={"score": 1})
    assert [draw_name(without_below, source) for source in without_below] == ["best", "again"]  # as before `below`


def test_below_is_in_the_recipe_and_the_keys_of_units_only_where_it_is_set(
    folder: Path, tmp_path: Path, tokenizer: Artifact
) -> None:
    assert [("below" in source) for source in resolved(RECIPE)["source"]] == [False, True, True]
    plan = planned(RECIPE, folder, tmp_path / "mix", tokenizer)
    unit = Unit(plan.listings[0].files[0], 0, 1, 1)
    keys = {plan.unit_key(source, unit, tokenizer) for source in plan.recipe.source}
    assert len(keys) == 3
    orders = [{"a": 1.0, "b": 2.0}, {"b": 2.0, "a": 1.0}]
    sources = [replace(BUCKETS[2], below=order) for order in orders]
    recipes = [replace(RECIPE, source=(source,)) for source in sources]
    plans = [replace(plan, recipe=recipe, listings=plan.listings[:1]) for recipe in recipes]
    assert len({p.unit_key(p.recipe.source[0], unit, tokenizer) for p in plans}) == 1


@pytest.mark.parametrize("least", [2, 3])
def test_bounds_that_let_no_score_through_are_refused(least: float) -> None:
    source = replace(BUCKETS[1], at_least={"score": least}, below={"score": 2})
    with pytest.raises(RecipeError, match=rf"'good': at_least.score = {least} and below.score = 2, expected at_least"):
        check(replace(RECIPE, source=(source,)))

"""A build with benchmarks: planted questions are not in the mix, the same whatever the units and workers are."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.train_tokenizer import train_alone
from gpts_data.pipelines.errors import DataError, ForeignFolderError, RecipeError
from gpts_data.validation.inspect import inspect
from gpts_data.validation.verify import verify
from tests.conftest import RECIPE, prose, write_corpus

TABLES = """
[decontaminate]
max_documents = 3

[[decontaminate.benchmark]]
name = "quiz"
files = "evals/quiz.jsonl"
columns = ["question + answers"]

[[decontaminate.benchmark]]
name = "stories"
files = "evals/stories.parquet"
columns = ["context", "endings"]
"""
RNG = random.Random(3)
QUIZ = [{"question": prose(RNG, 9), "answers": [prose(RNG, 4), prose(RNG, 9)]} for _ in range(6)]
BOILERPLATE = prose(RNG, 14)
UNSEEN = prose(RNG, 14)  # frequent only in documents over budget


def plant(corpus: Path, n: int = 12) -> None:
    """Puts a question into web-10 to web-21, and boilerplate into web-60 to web-71 and three early books; UNSEEN into
    two books and into web-100 to web-119, which are over budget and read only in large units."""
    for part in range(2):
        path = corpus / f"web/part-{part}.parquet"
        rows = pq.read_table(path).to_pylist()
        for row in rows:
            number = int(row["id"].removeprefix("web-"))
            if 10 <= number < 10 + n:
                item = QUIZ[number % len(QUIZ)]
                row["text"] += f"\n{item['question'].upper()} {item['answers'][number % 2]} {prose(RNG, 30)}"
            if 60 <= number < 60 + n:
                row["text"] = f"{BOILERPLATE} {row['text']}"
            if 100 <= number < 120:
                row["text"] += f" {UNSEEN}"
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=20)
    books = [json.loads(line) for line in (corpus / "books.jsonl").read_text(encoding="utf-8").splitlines()]
    for number in range(3):
        books[number]["text"] += " " + BOILERPLATE
    for number in (5, 6):
        books[number]["text"] += " " + UNSEEN
    (corpus / "books.jsonl").write_text("".join(json.dumps(row) + "\n" for row in books), encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, benchmarks and `recipe.toml`."""
    folder = tmp_path_factory.mktemp("contaminated")
    write_corpus(folder / "corpus")
    plant(folder / "corpus")
    (folder / "evals").mkdir()
    (folder / "evals/quiz.jsonl").write_text("".join(json.dumps(item) + "\n" for item in QUIZ), encoding="utf-8")
    stories = [{"context": prose(RNG, 20), "endings": [BOILERPLATE, UNSEEN, prose(RNG, 12)]}]
    pq.write_table(pa.Table.from_pylist(stories), folder / "evals/stories.parquet")
    recipe(folder)
    return folder


def recipe(folder: Path, name: str = "recipe.toml", tables: str = TABLES, **fields: object) -> Path:
    values = {"tokens": "20k", "window": 64, "seed": 1, "unit": "8kB", "shard_windows": 100, "order": "file"} | fields
    path = folder / name
    path.write_text(RECIPE.format(**values) + tables, encoding="utf-8")
    return path


def made(path: Path, out: Path, **options: Any) -> Mix:
    build(load_recipe(path), path.parent, out, **options)
    return open_mix(out)


@pytest.fixture(scope="module")
def clean(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    return made(place / "recipe.toml", tmp_path_factory.mktemp("clean") / "mix")


def ids(mix: Mix, source: str) -> set[str]:
    tables = [*(mix.path / "documents" / source).glob("*.parquet"), mix.path / f"validation/{source}.parquet"]
    return {id for table in tables if table.exists() for id in pq.read_table(table).column("id").to_pylist()}


def test_planted_questions_are_not_in_the_mix(clean: Mix) -> None:
    kept = ids(clean, "web")
    assert not kept & {f"web-{i}" for i in [*range(10, 22), 60, 61, 62]}  # the guard lets three of boilerplate go
    assert {f"web-{i}" for i in range(63, 72)} <= kept  # boilerplate by then, and so in the books
    assert clean.manifest["waterfall"]["web"]["dropped"]["contaminated"] == 15
    assert clean.manifest["waterfall"]["books"]["dropped"]["contaminated"] == 2


def test_the_account(clean: Mix) -> None:
    facts = clean.manifest["decontamination"]
    benchmarks = {name: facts["benchmarks"][name] for name in ("quiz", "stories")}
    assert [(b["items"], b["searched"]) for b in benchmarks.values()] == [(6, 6), (1, 1)]
    assert benchmarks["quiz"]["ngrams"] == 6 * (1 + 6)  # of 13 and of 18 words; the first 13 of both differ
    assert benchmarks["quiz"]["contaminated"] == {"web": 12, "books": 0, "notes": 0}
    assert benchmarks["stories"]["contaminated"] == {"web": 3, "books": 2, "notes": 0}
    assert benchmarks["quiz"]["files"][0]["sha256"]
    assert len(facts["documents"]) == 17
    assert Counter(d["benchmark"] for d in facts["documents"]) == {"quiz": 12, "stories": 5}
    first = facts["documents"][0]
    item = QUIZ[10 % 6]
    assert first == {
        "source": "web",
        "unit": first["unit"],
        "document": "web-10",
        "benchmark": "quiz",
        "item": "quiz.jsonl:4",
        "ngram": f"{item['question']} {item['answers'][0]}".removesuffix("."),
    }
    assert verify(clean.path) == []
    assert inspect(clean)["decontamination"] == facts
    for fall in clean.manifest["waterfall"].values():
        assert fall["read"] == fall["kept"] + sum(fall["dropped"].values())


def test_a_contaminated_document_is_nobodys_twin(place: Path, clean: Mix, tmp_path: Path) -> None:
    """web-40 and web-3 are copies; with a question in web-3 alone, web-40 takes its place."""
    folder = tmp_path / "place"
    shutil.copytree(place, folder)
    path = folder / "corpus/web/part-0.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[3]["text"] += f" {BOILERPLATE}"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=20)
    kept = ids(made(folder / "recipe.toml", tmp_path / "mix"), "web")
    assert "web-3" not in kept and "web-40" in kept
    assert "web-3" in ids(clean, "web") and "web-40" not in ids(clean, "web")


def test_workers_do_not_change_the_mix(place: Path, clean: Mix, tmp_path: Path) -> None:
    again = made(place / "recipe.toml", tmp_path / "mix", workers=2)
    assert again.manifest["root_digest"] == clean.manifest["root_digest"]


def test_units_do_not_change_the_mix(place: Path, clean: Mix, tmp_path: Path) -> None:
    """Other units read on further: what is over budget must not count as boilerplate for the next source."""
    for unit, over_budget in (("3kB", 0), ("1MB", 20)):
        other = made(recipe(place, f"{unit}.toml", unit=unit), tmp_path / unit, tokenizer=clean.tokenizer)
        assert other.manifest["waterfall"]["web"]["dropped"]["over_budget"] >= over_budget
        assert [other.shard(i).tobytes() for i in range(4)] == [clean.shard(i).tobytes() for i in range(4)]
        for name in other.sources:
            assert ids(other, name) == ids(clean, name)
        counts = [mix.manifest["decontamination"]["benchmarks"]["stories"]["contaminated"] for mix in (other, clean)]
        assert counts[0] == counts[1]


def test_without_benchmarks_the_manifest_says_nothing_of_them(mix: Mix) -> None:
    assert "decontamination" not in mix.manifest and "decontamination" not in inspect(mix)


def test_a_changed_benchmark_is_another_build(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "place"
    shutil.copytree(place, folder)
    books = (folder / "corpus/books.jsonl").read_text(encoding="utf-8")
    (folder / "corpus/books.jsonl").write_text("no json\n" + books, encoding="utf-8")
    with pytest.raises(DataError, match="books"):
        made(folder / "recipe.toml", tmp_path / "mix")
    assert (tmp_path / "mix/.build/plan.json").exists()
    (folder / "evals/quiz.jsonl").write_text(
        json.dumps({"question": prose(RNG, 20), "answers": ["so"]}), encoding="utf-8"
    )
    with pytest.raises(ForeignFolderError, match=r"half-finished build .* \(benchmarks\[0\]\.files\[0\]\.sha256"):
        made(folder / "recipe.toml", tmp_path / "mix")


def test_a_changed_benchmark_changes_the_build_id(place: Path, clean: Mix, tmp_path: Path) -> None:
    folder = tmp_path / "place"
    shutil.copytree(place, folder)
    with (folder / "evals/quiz.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"question": prose(RNG, 20), "answers": ["so"]}))
    other = made(folder / "recipe.toml", tmp_path / "mix").manifest
    assert other["build_id"] != clean.manifest["build_id"]
    assert [s["sha256"] for s in other["shards"]] == [s["sha256"] for s in clean.manifest["shards"]]


def test_killed_while_it_read_the_benchmarks(place: Path, clean: Mix, tmp_path: Path) -> None:
    """What it leaves: no plan yet, and of the index texts that nobody vouches for."""
    (key,) = [found.name for found in _half_built(place, tmp_path / "other").glob("benchmarks/*")]
    index = tmp_path / "mix/.build/benchmarks" / key
    index.mkdir(parents=True)
    (index / "texts.arrow").write_bytes(b"half")
    (index / "ngrams.arrow.gpts-data-host-1-1.tmp").write_bytes(b"half")
    again = made(place / "recipe.toml", tmp_path / "mix")
    assert again.manifest["root_digest"] == clean.manifest["root_digest"]
    assert verify(again.path) == []


def _half_built(place: Path, out: Path) -> Path:
    """The work folder of a build that stopped behind its benchmarks."""

    def stop(stage: str, *_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(place / "recipe.toml", out, progress=stop)
    return out / ".build"


def test_a_corpus_without_any_question(place: Path, mix: Mix, home: Path, tmp_path: Path) -> None:
    """The mix of tests, with benchmarks: the same but for what the manifest says of them."""
    shutil.copytree(home / "corpus", tmp_path / "corpus")
    shutil.copytree(place / "evals", tmp_path / "evals")
    other = made(recipe(tmp_path), tmp_path / "mix")
    assert other.manifest["shards"] == mix.manifest["shards"]
    assert other.manifest["decontamination"]["documents"] == []
    assert verify(other.path) == []


BAD = {
    "column": ('columns = ["context", "endings"]', 'columns = ["ending"]', "no column 'ending' in stories.parquet:0"),
    "file": (
        "evals/stories.parquet",
        "evals/none.parquet",
        "benchmark 'stories': files = 'evals/none.parquet' matches",
    ),
    "no benchmark": (TABLES[TABLES.index("[[") :], "", r"no \[\[decontaminate.benchmark\]\]; expected at least one"),
    "nowhere": ('files = "evals/quiz.jsonl"', "", "benchmark 'quiz': expected files = or dataset =, found neither"),
    "no column": ('columns = ["context", "endings"]', "columns = []", r"columns = \[\], expected the columns"),
    "same name": ('"stories"', '"quiz"', "benchmark names must differ"),
    "ngram": ("max_documents = 3", "ngram = 0", "decontaminate.ngram = 0, expected 1 to 255"),
    "guard": ("max_documents = 3", "max_documents = 0", "max_documents = 0, expected 1 or more"),
    "key": ("max_documents", "max_docs", r"unknown key decontaminate.max_docs; did you mean max_documents\?"),
    "missing": ('columns = ["context", "endings"]', "", r"decontaminate.benchmark\[1\].columns is missing"),
    "revision": (
        'columns = ["context"',
        'revision = "main"\ncolumns = ["context"',
        "revision belongs to a hub dataset",
    ),
    "config": ('columns = ["context"', 'config = "x"\ncolumns = ["context"', "config chooses files of a dataset"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_before_any_work(case: str, place: Path, tmp_path: Path) -> None:
    old, new, message = BAD[case]
    assert old in TABLES
    path = recipe(place, "bad.toml", TABLES.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        made(path, tmp_path / "mix")
    assert not (tmp_path / "mix").exists() or not any((tmp_path / "mix").iterdir())
    ended = CliRunner().invoke(cli, ["build-mix", "--recipe", str(path), "--out", str(tmp_path / "mix")])
    assert ended.exit_code == 2


def test_what_people_see(clean: Mix) -> None:
    shown = CliRunner().invoke(cli, ["inspect", str(clean.path)]).stdout
    assert "contaminated documents" in shown and "- contaminated" in shown
    assert "quiz quiz.jsonl:4: " + QUIZ[4]["question"][:20] in " ".join(shown.split())


def test_a_tokenizer_is_trained_without_benchmarks(place: Path, tmp_path: Path) -> None:
    with_them = train_alone(load_recipe(place / "recipe.toml"), place, tmp_path / "one")
    without = train_alone(load_recipe(recipe(place, "without.toml", "")), place, tmp_path / "two")
    assert with_them == without

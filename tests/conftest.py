"""A small corpus, a recipe over it and a finished mix, shared by tests of every layer."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import settings

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.tokenizer import untrusted
from gpts_data.tokenizer.artifact import FILES

EXAMPLES = int(os.environ.get("EXAMPLES", "100"))  # of each property; 5000 for a campaign
settings.register_profile("any machine", deadline=None, max_examples=EXAMPLES)  # a first call compiles or loads
settings.load_profile("any machine")
signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a job in the background ignores it, and so would its children

SLOW = (  # `make test-quick` leaves these out: they wait for stalled hubs, start clusters and stores, or train models
    "cli/test_cluster.py",
    "cli/test_secrets.py",
    "cli/test_train.py",
    "mixer/test_cluster.py",
    "mixer/test_crashes.py",
    "mixer/test_draw.py",
    "mixer/test_encoders.py",
    "mixer/test_memory.py",
    "mixer/test_network.py",
    "mixer/test_slurm_cluster.py",
    "mixer/test_store.py",
    "pipelines/hub/",
    "pipelines/readers/test_listing.py",
    "pipelines/readers/test_parquet_memory.py",
    "pipelines/test_execute.py",
    "test_docs.py",
    "test_notebook.py",
    "test_pages.py",
    "tokenizer/test_encode.py",
    "tokenizer/test_untrusted.py",
    "validation/model/",
    "validation/report/test_page.py",
    "validation/search/proxies/test_search.py",
    "validation/test_evaluate.py",
    "validation/training/",
)


def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-xdist take the files in our order. Its own, by number of tests, ends with the longest of all."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of SLOW and put them first, so that no process waits at the end for another one's long file.

    By file, so that a module's fixtures are made in one of the two runs only.
    """
    for item in items:
        if item.path.relative_to(Path(__file__).parent).as_posix().startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def _quick() -> Iterator[None]:
    """Two things that take long and show nothing new: waits for the disk, and checking a tokenizer that has passed.

    Only a power failure would show the difference that fsync makes; processes that tests start do call it. A check is
    a new process, half a second of work, and most builds here are given the tokenizer of `mix`.
    """
    run_worker, passed = untrusted._run_worker, dict[Any, dict[str, Any]]()

    def run_once(folder: Path, memory: int, seconds: float) -> dict[str, Any]:
        files = [(folder / name).read_bytes() for name in FILES if (folder / name).is_file()]
        key = (*files, memory, seconds, untrusted._WORKER_CODE)
        result = passed.get(key) or run_worker(folder, memory, seconds)
        return result if "error" in result else passed.setdefault(key, result)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(untrusted, "_run_worker", run_once)
        yield


SYLLABLES = ("ka", "lo", "mi", "ren", "tu", "sha", "vel", "dor", "an", "pi", "quo", "zen", "bra", "il", "est", "um")

RECIPE = """
name = "tiny"
tokens = "{tokens}"
window = {window}
seed = {seed}
unit = "{unit}"
shard_windows = {shard_windows}

[draw]
order = "{order}"

[tokenizer]
vocab_size = 400
sample = "40kB"

[[source]]
name = "web"
weight = 55
files = "corpus/web/*.parquet"
id = "id"
url = "url"

[[source]]
name = "books"
weight = 30
files = "corpus/books.jsonl"

[[source]]
name = "notes"
weight = 15
files = "corpus/notes.jsonl.zst"
id = "id"

[validation]
fraction = 0.05
"""

STAGES = """
[[stage]]
until = 0.7
weights = { web = 70, books = 25, notes = 5 }
[[stage]]
weights = { web = 30, notes = 40 }
"""


def prose(rng: random.Random, n_words: int) -> str:
    """Made-up prose: enough structure for merges, enough variety that two documents share no five words."""
    words = ["".join(rng.choices(SYLLABLES, k=rng.randint(1, 3))) for _ in range(n_words)]
    return " ".join(words).capitalize() + "."


def write_corpus(folder: Path, n_documents: int = 240) -> None:
    """Three sources in three formats, with copies inside and across sources."""
    rng = random.Random(7)
    web = [
        {"text": prose(rng, rng.randint(20, 200)), "id": f"web-{i}", "url": f"https://example.org/{i}", "other": i}
        for i in range(n_documents)
    ]
    web[40]["text"] = web[3]["text"]  # an exact copy inside the source
    web[41]["url"] = web[5]["url"]  # another version of a page
    web[42]["text"] = web[9]["text"] + " One more sentence at the end."  # a near copy
    books = [{"text": prose(rng, rng.randint(20, 300))} for _ in range(n_documents // 2)]
    books[11]["text"] = web[1]["text"]  # an exact copy across sources
    notes = [{"text": prose(rng, rng.randint(20, 300)), "id": f"note-{i}"} for i in range(n_documents // 2)]
    (folder / "web").mkdir(parents=True)
    for part in range(2):
        rows = web[part * len(web) // 2 : (part + 1) * len(web) // 2]
        pq.write_table(pa.Table.from_pylist(rows), folder / "web" / f"part-{part}.parquet", row_group_size=20)
    (folder / "books.jsonl").write_text("".join(json.dumps(row) + "\n" for row in books))
    lines = "".join(json.dumps(row) + "\n" for row in notes).encode()
    (folder / "notes.jsonl.zst").write_bytes(zstandard.compress(lines))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus/` in it, where recipes can be put."""
    folder = tmp_path_factory.mktemp("home")
    write_corpus(folder / "corpus")
    return folder


WriteRecipe = Callable[..., Path]


@pytest.fixture(scope="session")
def write_recipe(home: Path) -> WriteRecipe:
    """Writes a recipe beside the corpus; keywords override RECIPE's fields, `edit` is (old, new) text replacements.

    Files are read in order by default, so that a small mix has the first documents, among which are the copies.
    """
    count = 0

    def write(edit: tuple[tuple[str, str], ...] = (), **fields: object) -> Path:
        nonlocal count
        count += 1
        values = {
            "tokens": "20k",
            "window": 64,
            "seed": 1,
            "unit": "8kB",
            "shard_windows": 100,
            "order": "file",
            **fields,
        }
        text = RECIPE.format(**values)
        for old, new in edit:
            assert old in text
            text = text.replace(old, new)
        path = home / f"recipe-{count}.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture(scope="session")
def recipe_file(write_recipe: WriteRecipe) -> Path:
    return write_recipe()


@pytest.fixture(scope="session")
def mix(recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """A finished mix; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("mixes") / "mix"
    build(load_recipe(recipe_file), recipe_file.parent, folder)
    return open_mix(folder)


@pytest.fixture(scope="session")
def staged_recipe(write_recipe: WriteRecipe) -> Path:
    """The recipe of `mix` with two stages instead of weights; `books` is absent from the second."""
    weights = tuple((f"weight = {weight}\n", "") for weight in (55, 30, 15))
    return write_recipe(edit=(*weights, ("[validation]", f"{STAGES}\n[validation]")))


@pytest.fixture(scope="session")
def staged(staged_recipe: Path, mix: Mix, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """A finished mix with two stages; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("staged") / "mix"
    build(load_recipe(staged_recipe), staged_recipe.parent, folder, tokenizer=mix.tokenizer)
    return open_mix(folder)

"""A small build has the exact mixture, the same bytes for any number of workers, and resumes after any kill."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zstandard

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.mixer.train_tokenizer import train_alone
from gpts_data.pipelines.dedup.signatures import Dedup, MinHash
from gpts_data.pipelines.errors import DataError, ForeignFolderError, LockedError, RecipeError
from gpts_data.pipelines.execute import InProcess
from gpts_data.pipelines.readers.damage import DAMAGE
from gpts_data.tokenizer.encode import Encoder
from tests.conftest import WriteRecipe


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_windows_are_exact(mix: Mix) -> None:
    assert mix.windows == 313  # 20,000 / 64 = 312.5
    assert [mix.manifest["sources"][name]["windows"] for name in mix.sources] == [172, 94, 47]
    assert [shard["windows"] for shard in mix.manifest["shards"]] == [100, 100, 100, 13]


def test_every_prefix_is_on_the_mix(mix: Mix) -> None:
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    for i, weight in enumerate((0.55, 0.30, 0.15)):
        counts = (rows["source"] == i).cumsum()
        assert np.abs(counts - weight * np.arange(1, len(rows) + 1)).max() < 1


def test_every_window_once(mix: Mix) -> None:
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    for i, name in enumerate(mix.sources):
        windows = sorted(rows["window"][rows["source"] == i].tolist())
        assert windows == list(range(mix.manifest["sources"][name]["windows"]))


def test_streams_are_the_documents_of_the_source(mix: Mix, home: Path) -> None:
    """Put the windows back in stream order: they are the kept documents, encoded, one end-of-text after each."""
    encoder = Encoder(mix.tokenizer)
    texts = {
        row["id"]: row["text"]
        for part in sorted((home / "corpus/web").glob("*.parquet"))
        for row in pq.read_table(part).to_pylist()
    }
    rows = np.concatenate([np.load(path.with_suffix(".windows.npy")) for path in mix.shards])
    tokens = np.concatenate([mix.shard(i) for i in range(len(mix.shards))])
    mine = rows["source"] == 0
    stream = tokens[mine][np.argsort(rows["window"][mine])].ravel()
    ids = pq.read_table(mix.path / "documents/web").to_pylist()  # the folder as one table, as users open it
    expected, _ = encoder.encode([texts[row["id"]] for row in ids])
    assert (stream == expected[: len(stream)]).all()
    assert len(expected) - len(stream) == mix.manifest["sources"]["web"]["leftover_tokens"]
    starts = np.cumsum([0, *(row["tokens"] for row in ids)])[:-1]
    assert [row["start"] for row in ids] == starts.tolist()


@pytest.mark.parametrize("rows", [1, 7])
def test_any_size_of_the_buffer_gives_the_same_bytes(
    mix: Mix, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("gpts_data.mixer.stages.cut.ROWS_AT_ONCE", rows)
    build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
    assert files_of(tmp_path / "mix") == files_of(mix.path)


def test_copies_are_dropped_for_a_reason(mix: Mix) -> None:
    web, books = (mix.manifest["waterfall"][name]["dropped"] for name in ("web", "books"))
    assert web["exact_duplicate"] == web["url_duplicate"] == web["near_duplicate"] == 1
    assert books["exact_duplicate"] == 1


@pytest.mark.parametrize(("jaccard", "dropped"), [(0.5, 1), (1.0, 0)])
def test_a_near_copy_is_dropped_if_it_is_near_enough(
    recipe_file: Path, tmp_path: Path, mix: Mix, jaccard: float, dropped: int
) -> None:
    strict = replace(load_recipe(recipe_file), dedup=Dedup(minhash=MinHash(jaccard=jaccard)))
    built = build(strict, recipe_file.parent, tmp_path / "mix", tokenizer=mix.tokenizer)
    assert built.manifest["waterfall"]["web"]["dropped"].get("near_duplicate", 0) == dropped
    assert built.manifest["waterfall"]["web"]["dropped"]["exact_duplicate"] == 1


def test_the_waterfall_sums_to_zero(mix: Mix) -> None:
    for fall in mix.manifest["waterfall"].values():
        assert fall["read"] == fall["kept"] + sum(fall["dropped"].values())


def test_validation_documents_are_not_in_the_shards(mix: Mix) -> None:
    held = {row["id"] for path in mix.path.glob("validation/*.parquet") for row in pq.read_table(path).to_pylist()}
    trained = {row["id"] for path in mix.path.glob("documents/*/*.parquet") for row in pq.read_table(path).to_pylist()}
    assert held and not held & trained
    for name in mix.sources:
        facts = mix.manifest["sources"][name]["validation"]
        assert len(mix.validation(name)) == facts["windows"]


@pytest.mark.parametrize("workers", [3])  # 2: test_killed_at_any_moment_and_run_again
def test_any_number_of_workers_gives_the_same_bytes(mix: Mix, recipe_file: Path, tmp_path: Path, workers: int) -> None:
    build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix", workers=workers)
    assert files_of(tmp_path / "mix") == files_of(mix.path)


def test_results_of_tasks_in_any_order_give_the_same_bytes(
    mix: Mix, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: Counter[str] = Counter()
    told: dict[str, tuple[int, int]] = {}

    def run_backwards(_: object, function: Callable[[object], object], tasks: Iterable[object]) -> Iterator[object]:
        listed = list(tasks)
        ran[function.__name__] += len(listed)
        return map(function, reversed(listed))

    def report(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        told[stage] = done, total

    monkeypatch.setattr(InProcess, "map", run_backwards)
    built = build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix", progress=report)
    assert files_of(tmp_path / "mix") == files_of(mix.path)
    assert ran["cut_file"] == ran["write_unit_outcomes"] == built.units  # a task for each, which workers can take
    assert ran["assemble"] == len(mix.shards)
    assert told["cut"] == told["outcomes"] == (built.units, built.units)


LEFT = "00000.npy.gpts-data-elsewhere-1234-5678.tmp"  # as a worker names a file until it is whole


def test_the_temporary_file_of_a_worker_that_died_is_not_left_in_the_mix(
    mix: Mix, recipe_file: Path, tmp_path: Path
) -> None:
    folder, kept = tmp_path / "mix", tmp_path / "kept"

    def leave(stage: str, *_: object) -> None:
        for place in (folder / "shards", folder / ".build", kept / "web"):
            if stage == "shards":
                (place / LEFT).touch()

    recipe = load_recipe(recipe_file)
    build(recipe, recipe_file.parent, folder, progress=leave, keep_units=kept)
    assert files_of(folder) == files_of(mix.path)
    assert not list(kept.rglob(LEFT))
    (folder / "outcomes" / LEFT).touch()  # its worker was frozen until then
    assert not build(recipe, recipe_file.parent, folder).created
    assert files_of(folder) == files_of(mix.path)


def test_a_given_tokenizer_gives_the_same_mix_as_training_it(mix: Mix, recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(recipe_file)
    facts = train_alone(recipe, recipe_file.parent, tmp_path / "tokenizer")
    assert facts["digest"] == mix.manifest["tokenizer"]["digest"]
    built = build(recipe, recipe_file.parent, tmp_path / "mix", tokenizer=tmp_path / "tokenizer")
    assert built.manifest["root_digest"] == mix.manifest["root_digest"]


def test_units_and_rounds_do_not_change_the_mix(mix: Mix, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    """Other units, so other rounds and another reading beyond the budget: the same tokens in the same order."""
    path = write_recipe(unit="40kB")
    built = build(load_recipe(path), path.parent, tmp_path / "mix", tokenizer=mix.tokenizer)
    other = Mix(tmp_path / "mix", built.manifest)
    for i in range(len(mix.shards)):
        assert (other.shard(i) == mix.shard(i)).all()
    for name in mix.sources:
        assert (other.validation(name) == mix.validation(name)).all()


def test_the_folder_may_lie_anywhere(mix: Mix, recipe_file: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "elsewhere")
    recipe = load_recipe(tmp_path / "elsewhere" / recipe_file.name)
    built = build(recipe, tmp_path / "elsewhere", tmp_path / "mix")
    assert built.manifest["root_digest"] == mix.manifest["root_digest"]


def test_a_finished_build_does_nothing(mix: Mix, recipe_file: Path) -> None:
    before = files_of(mix.path)
    built = build(load_recipe(recipe_file), recipe_file.parent, mix.path)
    assert not built.created
    assert files_of(mix.path) == before


def test_a_finished_folder_refuses_another_recipe(mix: Mix, write_recipe: WriteRecipe) -> None:
    before = files_of(mix.path)
    path = write_recipe(seed=2)
    with pytest.raises(ForeignFolderError, match="recipe.seed: 1 before, 2 now"):
        build(load_recipe(path), path.parent, mix.path)
    assert files_of(mix.path) == before


def test_a_folder_of_something_else_is_refused(recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not touch", encoding="utf-8")
    with pytest.raises(ForeignFolderError, match="thesis.txt"):
        build(load_recipe(recipe_file), recipe_file.parent, tmp_path)
    assert list(files_of(tmp_path)) == ["thesis.txt"]


@pytest.mark.parametrize(
    ("old", "new", "error", "message"),
    [
        ('"corpus/books.jsonl"', '"corpus/nothing-*.jsonl"', RecipeError, "matches nothing"),
        ('url = "url"', 'url = "link"', RecipeError, "no column 'link' in part-0.parquet; found id, other, text, url"),
        (
            'tokens = "20k"',
            'tokens = "20M"',
            DataError,
            r"source 'web' is too short: 11,000,000 tokens are needed.*\nsource 'books' is too short: 6,0",
        ),
    ],
)
def test_refused_before_any_work(
    old: str, new: str, error: type[Exception], message: str, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    path = write_recipe(edit=((old, new),))
    with pytest.raises(error, match=message):
        build(load_recipe(path), path.parent, tmp_path / "mix")
    assert not (tmp_path / "mix").exists()


def test_a_source_that_turns_out_short(write_recipe: WriteRecipe, mix: Mix, tmp_path: Path) -> None:
    path = write_recipe(tokens="150k")
    with pytest.raises(DataError, match=r"too short: .* needed, found [\d,]+ after cleaning and dedup"):
        build(load_recipe(path), path.parent, tmp_path / "mix", tokenizer=mix.tokenizer)
    assert {name.split("/")[:2] == [".build", "units"] for name in files_of(tmp_path / "mix")} == {True}


def damage(home: Path, folder: Path) -> None:
    """The corpus in `folder`, with two broken lines in books and a cut frame behind notes."""
    shutil.copytree(home / "corpus", folder / "corpus")
    books = folder / "corpus/books.jsonl"
    lines = books.read_bytes().splitlines(keepends=True)
    lines[2], lines[20] = b"{\n", b"\xff\n"
    books.write_bytes(b"".join(lines))
    notes = folder / "corpus/notes.jsonl.zst"
    notes.write_bytes(notes.read_bytes() + zstandard.compress(b'{"text": "cut"}\n')[:-2])


DAMAGED = (
    ('files = "corpus/books.jsonl"', 'files = "corpus/books.jsonl"\nmax_damaged = 2'),
    ('files = "corpus/notes.jsonl.zst"', 'files = "corpus/notes.jsonl.zst"\nmax_damaged = 1'),
)


def test_damage_within_the_budget_is_in_the_waterfall(home: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    damage(home, tmp_path)
    recipe = load_recipe(write_recipe(edit=DAMAGED))
    manifests = [build(recipe, tmp_path, tmp_path / str(n), workers=n).manifest for n in (1, 2)]
    assert manifests[0]["root_digest"] == manifests[1]["root_digest"]
    falls = manifests[0]["waterfall"]
    assert {k: v for k, v in falls["books"]["dropped"].items() if k in DAMAGE} == {"broken_line": 1, "invalid_utf8": 1}
    assert falls["notes"]["dropped"]["cut_frame"] == 1
    assert all(fall["read"] == fall["kept"] + sum(fall["dropped"].values()) for fall in falls.values())
    named = manifests[0]["sources"]["books"]["damaged"]
    assert [place.split(": ")[1] for place in named] == ["broken_line", "invalid_utf8"]
    assert manifests[0]["sources"]["web"]["damaged"] == []


def test_damage_of_all_units_together_is_refused(home: Path, write_recipe: WriteRecipe, tmp_path: Path) -> None:
    damage(home, tmp_path)
    edit = ((DAMAGED[0][0], DAMAGED[0][1].replace("2", "1")), DAMAGED[1])
    recipe = load_recipe(write_recipe(edit=edit))
    with pytest.raises(DataError, match=r"'books': books\.jsonl:\d+: .* found 2 damaged, max_damaged = 1"):
        build(recipe, tmp_path, tmp_path / "mix")
    build(load_recipe(write_recipe(edit=DAMAGED)), tmp_path, tmp_path / "mix")  # as the message says, it goes on


def test_one_writer(recipe_file: Path, tmp_path: Path) -> None:
    from filelock import FileLock

    (tmp_path / "mix" / ".build").mkdir(parents=True)
    with (
        FileLock(tmp_path / "mix" / ".build" / "lock"),
        pytest.raises(LockedError, match="another build is at work"),
    ):
        build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
    assert list(files_of(tmp_path / "mix")) == [".build/lock"]


BUILD = """
import sys
from pathlib import Path
from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe

if __name__ == "__main__":
    recipe = Path(sys.argv[1])
    build(load_recipe(recipe), recipe.parent, Path(sys.argv[2]), workers=int(sys.argv[3]))
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_any_moment_and_run_again(mix: Mix, recipe_file: Path, tmp_path: Path, workers: int) -> None:
    """SIGKILL of the whole process group at random moments until one run gets through: the same bytes, no orphan."""
    script, out = tmp_path / "run.py", tmp_path / "mix"
    script.write_text(BUILD, encoding="utf-8")
    command = [sys.executable, str(script), str(recipe_file), str(out), str(workers)]
    rng = random.Random(workers)
    for kill in range(3):
        process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(1.0, 3.0 + kill))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if (out / "manifest.json").exists():
            break
    subprocess.run(command, check=True, timeout=300)
    assert files_of(out) == files_of(mix.path)


class Died(BaseException):
    """Not an Exception: nothing in a build may catch it."""


@pytest.mark.parametrize("renamed", [False, True])
def test_dying_at_every_twelfth_commit(
    mix: Mix, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: bool
) -> None:
    """Die just before (or after) the twelfth rename of a run, run again, until a run gets through.

    Plan and tokenizer take seven together, and each round of dedup three, again in every run.
    """
    replace, count = os.replace, 0

    def dying(source: str, target: str) -> None:
        nonlocal count
        count += 1
        if count < 12 or renamed:
            replace(source, target)
        if count >= 12:
            raise Died

    monkeypatch.setattr("gpts_data.pipelines.storage.atomic_files.os.replace", dying)
    runs = 0
    for _ in range(200):
        runs, count = runs + 1, 0
        try:
            build(load_recipe(recipe_file), recipe_file.parent, tmp_path / "mix")
            break
        except Died:
            assert not (tmp_path / "mix" / "manifest.json").exists() or renamed
    assert runs > 4
    assert files_of(tmp_path / "mix") == files_of(mix.path)


def test_open_mix_reads_it(mix: Mix) -> None:
    assert open_mix(mix.path).tokens == 20_032

"""Hub sources, read by the real clients from a small local hub. Each case runs in a fresh process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

from tests.support.datasets import alone, card, rows, write
from tests.support.hub import LFS, Handler, Hub

FOOTER = 64 << 10  # what Arrow fetches from the end of a file to find the footer
CONFIGS = {"one": "data/one/*.parquet", "two": "data/two/*/*.parquet"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        web = hub.folder("acme/web")
        card(web, CONFIGS)
        for part in ("one/a", "one/b", "two/2024/a", "two/2025/a"):
            write(web / f"data/{part}.parquet", rows(part, 120), width=64)
        lines = [json.dumps({"text": f"{i} " + "wörd " * i, "id": f"n-{i}", "url": None}) + "\n" for i in range(300)]
        notes = hub.folder("acme/notes")
        (notes / "a.jsonl.zst").write_bytes(zstandard.compress("".join(lines[:200]).encode()))
        (notes / "b.jsonl.zst").write_bytes(zstandard.compress("".join(lines[200:]).encode()))
        (hub.folder("acme/plain") / "train.jsonl").write_text("".join(lines), encoding="utf-8")
        write(hub.folder("acme/wide") / "train.parquet", rows("wide", 2000, 200), width=768, group=250)
        write(hub.folder("acme/closed") / "train.parquet", rows("closed", 5))
        write(hub.folder("acme/unranged") / "train.parquet", rows("unranged", 500))
        card(hub.folder("acme/elsewhere"), {"default": f"hf://datasets/acme/web@{hub.heads['acme/web']}/data/one/*"})
        hub.folder("acme/empty")
        yield hub


def read_ours(spec: dict[str, Any], unit_bytes: int) -> dict[str, Any]:
    from pathlib import Path

    from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
    from gpts_data.pipelines.readers.source import Source

    source = Source("x", 1, **spec)
    listing = list_files(source, Path())
    for file in listing.files:
        check_columns(source, file)
    units = [unit for file in listing.files for unit in split_units(source, file, unit_bytes)]
    documents = [row for unit in units for batch in read(source, unit) for row in batch.to_pylist()]
    files = [[file.name, file.size, file.sha256] for file in listing.files]
    return {"revision": listing.revision, "files": files, "units": len(units), "documents": documents}


def read_both(specs: list[dict[str, Any]]) -> list[Any]:
    """Each dataset as we read it, in units of 20 kB, and as `datasets` streams it."""
    import datasets

    def both(spec: dict[str, Any]) -> dict[str, Any]:
        ours = read_ours(spec, 20_000)
        stream = datasets.load_dataset(spec["dataset"], spec["config"], revision=ours["revision"], streaming=True)
        return ours | {"expected": [[row["text"], row["id"], row["url"]] for row in stream["train"]]}

    return [both(spec) for spec in specs]


DATASETS = {
    ("acme/web", "one"): (["data/one/a.parquet", "data/one/b.parquet"], 6),
    ("acme/web", "two"): (["data/two/2024/a.parquet", "data/two/2025/a.parquet"], 6),
    ("acme/notes", None): (["a.jsonl.zst", "b.jsonl.zst"], 2),
    ("acme/plain", None): (["train.jsonl"], 24),
}
"""Dataset and config: its files in order, and how many units they make."""


@pytest.fixture(scope="module")
def documents(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str | None], Any]:
    """All of DATASETS, from one process."""
    specs = [{"dataset": dataset, "config": config, "id": "id", "url": "url"} for dataset, config in DATASETS]
    found = alone(hub, tmp_path_factory.mktemp("home"), read_both, specs, needs=(read_ours,))
    return dict(zip(DATASETS, found, strict=True))


@pytest.mark.parametrize("which", DATASETS, ids=lambda which: " ".join(filter(None, which)))
def test_files_are_pinned_and_in_order(hub: Hub, documents: dict[Any, Any], which: tuple[str, str | None]) -> None:
    names, units = DATASETS[which]
    found = documents[which]
    assert found["revision"] == hub.heads[which[0]]
    bodies = [(hub.folder(which[0]) / name).read_bytes() for name in names]
    digests = [sha256(b).hexdigest() if name.endswith(LFS) else None for name, b in zip(names, bodies, strict=True)]
    assert found["files"] == [list(file) for file in zip(names, map(len, bodies), digests, strict=True)]
    assert found["units"] == units


@pytest.mark.parametrize("which", DATASETS, ids=lambda which: " ".join(filter(None, which)))
def test_documents_are_those_of_datasets(documents: dict[Any, Any], which: tuple[str, str | None]) -> None:
    ours = [[row["text"], row["id"], row["url"]] for row in documents[which]["documents"]]
    assert ours == documents[which]["expected"]
    assert len({row["place"] for row in documents[which]["documents"]}) == len(ours) > 200


def test_other_columns_are_never_fetched(hub: Hub, tmp_path: Path) -> None:
    """Served: the chunks of text, id and url, and the footer each time the file is opened."""
    path = hub.folder("acme/wide") / "train.parquet"
    found = alone(hub, tmp_path, read_ours, {"dataset": "acme/wide", "id": "id", "url": "url"}, 600_000)
    served = hub.served[path.relative_to(hub.root).as_posix()]
    needed = chunk_bytes(path, {"text", "id", "url"})
    opened = 2 + found["units"]  # to see the columns, to split_units, and to read each unit
    assert len(found["documents"]) == 2000
    assert needed < served < 1.01 * needed + opened * FOOTER
    assert served < 1.5 * (needed + FOOTER) < path.stat().st_size / 3


def chunk_bytes(path: Path, columns: set[str]) -> int:
    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
    return sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in columns)


REFUSALS = {
    "dataset": ({"dataset": "acme/nothing"}, 2, "'acme/nothing'"),
    "id": ({"dataset": "a/b/c"}, 2, "'a/b/c'"),
    "config": ({"dataset": "acme/web", "config": "three"}, 2, "'three' not found. Available: ['one', 'two']"),
    "no config": ({"dataset": "acme/web"}, 2, "Please pick one among the available configs: ['one', 'two']"),
    "config where there is one": ({"dataset": "acme/plain", "config": "three"}, 2, "'three'"),
    "split": ({"dataset": "acme/web", "config": "one", "split": "test"}, 2, "no split 'test'; found train"),
    "part of a split": ({"dataset": "acme/plain", "split": "train[:10%]"}, 2, "'train[:10%]'; found train"),
    "revision": (
        {"dataset": "acme/plain", "revision": "v9"},
        2,
        "'acme/plain' at revision 'v9': the hub has no such revision",
    ),
    "no files": ({"dataset": "acme/empty"}, 2, "'acme/empty'"),
    "files of another": ({"dataset": "acme/elsewhere"}, 2, "Data files don't belong to acme/elsewhere"),
    "folder": ({"dataset": "here/too"}, 2, "'here/too' is also a folder here"),
    "column": (
        {"dataset": "acme/web", "config": "two", "text": "body"},
        2,
        "no column 'body' in data/two/2024/a.parquet",
    ),
    "forbidden": ({"dataset": "acme/closed"}, 4, "train.parquet: the hub refused (HTTP 403)"),
    "ranges ignored": ({"dataset": "acme/unranged"}, 4, "got HTTP 200, no range"),
}


def refuse(specs: list[dict[str, Any]]) -> list[Any]:
    """Exit code and message of each attempt to list, check and read."""
    from pathlib import Path

    from gpts_data.pipelines.errors import GptsDataError
    from gpts_data.pipelines.hub.remote_file import FetchOptions
    from gpts_data.pipelines.hub.retry import RetryPolicy
    from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
    from gpts_data.pipelines.readers.source import Source

    fetch_options = FetchOptions(retry_policy=RetryPolicy(budget=0.5, first_wait=0.1))

    def attempt(spec: dict[str, Any]) -> list[Any]:
        source = Source("x", 1, **spec)
        try:
            file = list_files(source, Path(), fetch_options).files[0]
            check_columns(source, file, fetch_options)
            return [0, str(next(read(source, split_units(source, file, 1, fetch_options)[0], fetch_options)))]
        except GptsDataError as error:
            return [error.exit_code, str(error)]

    return [attempt(spec) for spec in specs]


def misbehave(handler: Handler, path: str) -> bool:
    """Two datasets fail: the column chunks of one are forbidden, files of the other come whole whatever the range."""
    if "acme/closed" in path and (handler.headers.get("Range") or "").startswith("bytes=4-"):
        handler.send(403)
        return True
    if "acme/unranged" in path and path.endswith(".parquet"):
        del handler.headers["Range"]
    return False


@pytest.fixture(scope="module")
def refused(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """All of REFUSALS in one process."""
    home = tmp_path_factory.mktemp("home")
    (home / "here/too").mkdir(parents=True)
    hub.folder("here/too")
    before = hub.served.copy()
    hub.fault = misbehave
    found = alone(hub, home, refuse, [spec for spec, _, _ in REFUSALS.values()])
    hub.fault = None
    texts = [path for path, n in (hub.served - before).items() if "acme/web" in path and n > FOOTER]
    assert not texts, "a missing column is found from the footer alone"
    return {name: tuple(answer) for name, answer in zip(REFUSALS, found, strict=True)}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_by_name(refused: dict[str, tuple[int, str]], name: str) -> None:
    _, exit_code, words = REFUSALS[name]
    assert refused[name][0] == exit_code, refused[name]
    assert words in refused[name][1]


def test_a_hub_that_is_down_is_a_reason_to_come_back(tmp_path: Path) -> None:
    with Hub(tmp_path / "hub") as gone:
        pass
    ((exit_code, message),) = alone(gone, tmp_path, refuse, [{"dataset": "acme/web"}])
    assert exit_code == 4
    assert "'acme/web': the hub did not answer (ConnectError)" in message


RECIPE = """
name = "moving"
tokens = "20k"
[[source]]
name = "web"
weight = 1
dataset = "acme/moving"
"""


def plans(recipe: str, outs: list[str]) -> list[Any]:
    """What a build into each folder would read; the folders are half-built from then on."""
    from pathlib import Path

    from gpts_data.mixer.format.manifest import NAME
    from gpts_data.mixer.plan import make_plan
    from gpts_data.mixer.plan_file import write_plan
    from gpts_data.mixer.recipe import load_recipe

    made = [make_plan(load_recipe(Path(recipe)), Path(recipe).parent, Path(out), None, NAME) for out in outs]
    for plan in made:
        write_plan(plan.work, plan.identity())
    return [plan.identity()["sources"][0] for plan in made]


def test_a_resumed_build_keeps_its_commit(hub: Hub, tmp_path: Path) -> None:
    old = hub.folder("acme/moving")
    write(old / "train-0.parquet", rows("old", 20))
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (before,) = alone(hub, tmp_path, plans, "recipe.toml", ["half-built"])
    new = hub.commit("acme/moving")
    write(new / "train-0.parquet", rows("new", 30))
    write(new / "train-1.parquet", rows("newer", 30))
    resumed, fresh = alone(hub, tmp_path, plans, "recipe.toml", ["half-built", "another"])
    assert resumed == before
    assert (before["revision"], fresh["revision"]) == (old.name, new.name)
    assert [file["name"] for file in fresh["files"]] == ["train-0.parquet", "train-1.parquet"]

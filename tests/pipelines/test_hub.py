"""Hub sources against a small hub on loopback, read by the real clients. Each case runs in a fresh process."""

from __future__ import annotations

import inspect
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gpts_data.cli.options import PRESETS
from tests.conftest import prose
from tests.hub import LFS, Handler, Hub

FOOTER = 64 << 10  # what Arrow fetches from the end of a file to find the footer
CONFIGS = {"one": "data/one/*.parquet", "two": "data/two/*/*.parquet"}


def card(folder: Path, configs: dict[str, str]) -> None:
    """README.md with the configs as the hub's own datasets declare them."""
    listed = [
        f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {path}" for name, path in configs.items()
    ]
    (folder / "README.md").write_text("\n".join(["---", "license: odc-by", "configs:", *listed, "---", "# A dataset"]))


def rows(seed: str, n: int, words: int = 60) -> dict[str, list[str]]:
    """FineWeb's columns, and one between those that are read."""
    rng = random.Random(seed)
    texts = [prose(rng, rng.randint(words // 2, 2 * words)) for _ in range(n)]
    ids = [f"<urn:uuid:{seed}-{i}>" for i in range(n)]
    return {"text": texts, "id": ids, "dump": ["CC"] * n, "url": [f"https://example.org/{seed}/{i}" for i in range(n)]}


def write(path: Path, columns: dict[str, list[str]], width: int = 0, group: int = 50) -> None:
    """A parquet file of row groups of `group`, with `embeddings` of `width` floats as FineWeb-HQ has them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if width:
        floats = np.random.default_rng(0).random(len(table) * width, dtype=np.float32)
        table = table.append_column("embeddings", pa.FixedSizeListArray.from_arrays(pa.array(floats), width))
    pq.write_table(table, path, row_group_size=group)


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
        (hub.folder("acme/plain") / "train.jsonl").write_text("".join(lines))
        write(hub.folder("acme/wide") / "train.parquet", rows("wide", 2000, 200), width=768, group=250)
        write(hub.folder("acme/closed") / "train.parquet", rows("closed", 5))
        write(hub.folder("acme/unranged") / "train.parquet", rows("unranged", 500))
        card(hub.folder("acme/elsewhere"), {"default": f"hf://datasets/acme/web@{hub.heads['acme/web']}/data/one/*"})
        hub.folder("acme/empty")
        yield hub


def alone(hub: Hub, home: Path, function: Callable[..., Any], *arguments: Any, needs: Sequence[Any] = ()) -> Any:
    """What a function that imports all it uses, but `needs`, returns in a fresh process whose hub is ours.

    The clients read HF_ENDPOINT when they are imported, and cache listings as long as they live.
    """
    call = f"print(json.dumps({function.__name__}(*json.loads(sys.argv[1]))))"
    code = "\n".join(
        ["from __future__ import annotations", *map(inspect.getsource, (*needs, function)), "import json, sys", call]
    )
    return json.loads(run(hub, home, "-c", code, json.dumps(arguments)).splitlines()[-1])


def run(hub: Hub, home: Path, *arguments: str) -> str:
    """The stdout of a python process; `home` is where it runs and has its caches."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=home,
        env=hub.env(home / "hf"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_ours(spec: dict[str, Any], unit_bytes: int) -> dict[str, Any]:
    from pathlib import Path

    from gpts_data.pipelines.sources import Source, check_columns, list_files, read, split

    source = Source("x", 1, **spec)
    listing = list_files(source, Path())
    for file in listing.files:
        check_columns(source, file)
    units = [unit for file in listing.files for unit in split(source, file, unit_bytes)]
    documents = [row for unit in units for batch in read(source, unit) for row in batch.to_pylist()]
    files = [[file.name, file.size, file.sha256] for file in listing.files]
    return {"revision": listing.revision, "files": files, "units": len(units), "documents": documents}


def read_both(spec: dict[str, Any], unit_bytes: int) -> dict[str, Any]:
    import datasets

    ours = read_ours(spec, unit_bytes)
    stream = datasets.load_dataset(spec["dataset"], spec["config"], revision=ours["revision"], streaming=True)
    return ours | {"expected": [[row["text"], row["id"], row["url"]] for row in stream["train"]]}


@pytest.mark.parametrize(
    ("dataset", "config", "names", "units"),
    [
        ("acme/web", "one", ["data/one/a.parquet", "data/one/b.parquet"], 6),
        ("acme/web", "two", ["data/two/2024/a.parquet", "data/two/2025/a.parquet"], 6),
        ("acme/notes", None, ["a.jsonl.zst", "b.jsonl.zst"], 2),
        ("acme/plain", None, ["train.jsonl"], 24),
    ],
)
def test_documents_are_those_of_datasets(
    hub: Hub, tmp_path: Path, dataset: str, config: str | None, names: list[str], units: int
) -> None:
    spec = {"dataset": dataset, "config": config, "id": "id", "url": "url"}
    found = alone(hub, tmp_path, read_both, spec, 20_000, needs=(read_ours,))
    assert found["revision"] == hub.heads[dataset]
    bodies = [(hub.folder(dataset) / name).read_bytes() for name in names]
    digests = [
        sha256(body).hexdigest() if name.endswith(LFS) else None for name, body in zip(names, bodies, strict=True)
    ]
    assert found["files"] == [list(file) for file in zip(names, map(len, bodies), digests, strict=True)]
    assert found["units"] == units
    documents = [[row["text"], row["id"], row["url"]] for row in found["documents"]]
    assert documents == found["expected"]
    assert len({row["place"] for row in found["documents"]}) == len(documents) > 200


def test_other_columns_are_never_fetched(hub: Hub, tmp_path: Path) -> None:
    """Served: the chunks of text, id and url, and the footer each time the file is opened."""
    path = hub.folder("acme/wide") / "train.parquet"
    found = alone(hub, tmp_path, read_ours, {"dataset": "acme/wide", "id": "id", "url": "url"}, 600_000)
    served = hub.served[path.relative_to(hub.root).as_posix()]
    needed = chunk_bytes(path, {"text", "id", "url"})
    opened = 2 + found["units"]  # to see the columns, to split, and to read each unit
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
    "revision": ({"dataset": "acme/plain", "revision": "v9"}, 2, "'acme/plain' at revision 'v9'"),
    "no files": ({"dataset": "acme/empty"}, 2, "'acme/empty'"),
    "files of another": ({"dataset": "acme/elsewhere"}, 2, "Data files don't belong to acme/elsewhere"),
    "folder": ({"dataset": "here/too"}, 2, "'here/too' is also a folder here"),
    "column": (
        {"dataset": "acme/web", "config": "two", "text": "body"},
        2,
        "no column 'body' in data/two/2024/a.parquet",
    ),
    "forbidden": ({"dataset": "acme/closed"}, 4, "train.parquet: the hub did not answer (HTTP 403)"),
    "ranges ignored": ({"dataset": "acme/unranged"}, 4, "train.parquet: asked for 65,536 bytes"),
}


def refuse(specs: list[dict[str, Any]]) -> list[Any]:
    """Exit code and message of each attempt to list, check and read."""
    from pathlib import Path

    from gpts_data.pipelines.errors import GptsDataError
    from gpts_data.pipelines.sources import Source, check_columns, list_files, read, split

    def attempt(spec: dict[str, Any]) -> list[Any]:
        source = Source("x", 1, **spec)
        try:
            file = list_files(source, Path()).files[0]
            check_columns(source, file)
            return [0, str(next(read(source, split(source, file, 1)[0])))]
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

    from gpts_data.mixer.manifest import NAME
    from gpts_data.mixer.plan import freeze, make_plan
    from gpts_data.mixer.recipe import load_recipe

    made = [make_plan(load_recipe(Path(recipe)), Path(recipe).parent, Path(out), None, NAME) for out in outs]
    for plan in made:
        freeze(plan)
    return [plan.facts()["sources"][0] for plan in made]


def test_a_resumed_build_keeps_its_commit(hub: Hub, tmp_path: Path) -> None:
    old = hub.folder("acme/moving")
    write(old / "train-0.parquet", rows("old", 20))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (before,) = alone(hub, tmp_path, plans, "recipe.toml", ["half-built"])
    new = hub.commit("acme/moving")
    write(new / "train-0.parquet", rows("new", 30))
    write(new / "train-1.parquet", rows("newer", 30))
    resumed, fresh = alone(hub, tmp_path, plans, "recipe.toml", ["half-built", "another"])
    assert resumed == before
    assert (before["revision"], fresh["revision"]) == (old.name, new.name)
    assert [file["name"] for file in fresh["files"]] == ["train-0.parquet", "train-1.parquet"]


@pytest.fixture(scope="module")
def preset_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """The three datasets of the preset, with their own layouts and columns, in miniature."""
    with Hub(tmp_path_factory.mktemp("preset-hub")) as hub:
        edu = hub.folder("HuggingFaceFW/fineweb-edu")
        card(edu, {"default": "data/*/*", "sample-10BT": "sample/10BT/*", "sample-100BT": "sample/100BT/*"})
        for i in range(2):
            write(edu / f"sample/100BT/{i:03}_00000.parquet", rows(f"edu-{i}", 300))
        write(edu / "sample/10BT/000_00000.parquet", rows("other", 5))
        write(edu / "data/CC-MAIN-2024-10/000_00000.parquet", rows("another", 5))
        smol = hub.folder("HuggingFaceTB/smollm-corpus")
        card(smol, {"cosmopedia-v2": "cosmopedia-v2/*", "python-edu": "python-edu/*"})
        texts = rows("cosmopedia", 400)["text"]
        write(smol / "cosmopedia-v2/train-00000.parquet", {"prompt": ["Write."] * 400, "text": texts})
        write(smol / "python-edu/train-00000.parquet", {"blob_id": ["0"] * 5})
        quality = hub.folder("epfml/FineWeb-HQ")
        card(quality, {"default": "data/*/*", "CC-MAIN-2013-20": "data/CC-MAIN-2013-20/*"})
        for dump in ("2013-20", "2024-18"):
            write(quality / f"data/CC-MAIN-{dump}/000_00000.parquet", rows(dump, 120), width=768)
        yield hub


def test_the_preset_from_its_three_datasets(preset_hub: Hub, tmp_path: Path) -> None:
    """gpt-s-5m as it is, but for a small vocabulary and no filters, which would drop made-up prose."""
    text = (PRESETS / "gpt-s-5m.toml").read_text()
    for line, ours in (
        ("vocab_size = 4096", "vocab_size = 400"),
        ('sample = "200MB"', 'sample = "60kB"'),
        ('filters = ["gopher_repetition", "gopher_quality", "fineweb_quality"]', "filters = []"),
    ):
        assert line in text
        text = text.replace(line, ours)
    (tmp_path / "recipe.toml").write_text(text)
    main = "from gpts_data.cli.main import cli; cli()"
    run(preset_hub, tmp_path, "-c", main, "build-mix", "--recipe", "recipe.toml", "--tokens", "60k", "--out", "mix")
    assert json.loads(run(preset_hub, tmp_path, "-c", main, "verify", "mix", "--json")) == {"ok": True, "problems": []}
    sources = json.loads((tmp_path / "mix/manifest.json").read_text())["sources"]
    assert {name: facts["windows"] for name, facts in sources.items()} == {
        "fineweb-edu": 64, "cosmopedia-v2": 35, "fineweb-hq": 18
    }  # fmt: skip
    assert {facts["revision"] for facts in sources.values()} == set(preset_hub.heads.values())

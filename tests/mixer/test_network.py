"""A build from a hub that fails, stalls and goes away ends with the bytes of a build from one that does not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support import faults
from tests.support.datasets import rows, write
from tests.support.hub import Handler, Hub

RECIPE = """
name = "networked"
tokens = "40k"
window = 64
unit = "{unit}"
[tokenizer]
vocab_size = 400
sample = "30kB"
{sources}
"""
SOURCE = """
[[source]]
name = "{name}"
weight = {weight}
dataset = "acme/{name}"
id = "id"
url = "url"
{more}
"""
BUILD = """
import sys
from pathlib import Path
from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.hub import range_fetcher
from gpts_data.pipelines.hub.retry import RetryPolicy
range_fetcher.LISTING_STALLS = 60  # five seconds are too few for a listing on a busy machine
if __name__ == "__main__":
    retry_policy = RetryPolicy(budget=float(sys.argv[3]), stall_timeout=1, first_wait=0.02, longest_wait=0.2)
    recipe = load_recipe(Path("recipe.toml"))
    built = build(recipe, Path(), Path(sys.argv[1]), workers=int(sys.argv[2]), retry_policy=retry_policy)
    print(built.manifest["root_digest"])
"""
SHORT_BUDGET = """
from gpts_data.cli.main import cli
from gpts_data.pipelines.hub.retry import RetryPolicy

# `lasting` would also allow a listing one second, which a busy machine exceeds: the budget is of failures alone.
RetryPolicy.lasting = lambda seconds: RetryPolicy(seconds, stall_timeout=240, first_wait=0.1, longest_wait=0.2)
cli()
"""
UNIT = 40_000


def write_recipe(folder: Path, more: str = "") -> None:
    sources = [SOURCE.format(name=name, weight=w, more=more) for name, w in (("web", 55), ("quality", 45))]
    (folder / "recipe.toml").write_text(RECIPE.format(unit=UNIT, sources="".join(sources)), encoding="utf-8")
    (folder / "build.py").write_text(BUILD, encoding="utf-8")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        for name, width in (("web", 0), ("quality", 64)):
            for part in range(2):
                write(
                    hub.folder(f"acme/{name}") / f"train-{part}.parquet", rows(f"{name}-{part}", 400), width, group=50
                )
        yield hub


@pytest.fixture(autouse=True)
def _no_fault(hub: Hub) -> Iterator[None]:
    yield
    hub.fault = None


def start(hub: Hub, home: Path, out: str, workers: int, budget: float = 120) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "build.py", out, str(workers), str(budget)],
        cwd=home,
        env={**hub.env(home / "hf"), "HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        encoding="utf-8",
    )


def digest(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    return out.split()[-1]


@pytest.fixture(scope="module")
def undisturbed(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int]:
    """The root digest of a build that nothing disturbs, and the bytes it was served."""
    home = tmp_path_factory.mktemp("undisturbed")
    write_recipe(home)
    before = hub.total()
    found = digest(start(hub, home, "mix", 1))
    return found, hub.total() - before


def test_only_the_named_columns_are_served_and_once(hub: Hub, undisturbed: tuple[str, int]) -> None:
    """Footers too; what the tokenizer's sample fetched is not fetched again."""
    files = [path for name in ("web", "quality") for path in hub.folder(f"acme/{name}").glob("*.parquet")]
    wanted = 0
    for path in files:
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        chunks = [group.column(i) for group in groups for i in range(metadata.num_columns)]
        wanted += sum(c.total_compressed_size for c in chunks if c.path_in_schema in ("text", "id", "url"))
        wanted += metadata.serialized_size
    assert undisturbed[1] < 1.15 * wanted


ANY = [
    faults.status(503),
    faults.status(429, Retry_After=1),
    faults.reset(),
    faults.early_close(),
    faults.short_body(),
    faults.ignored_range(),
    faults.html(),
    faults.stall(),
]


@pytest.mark.parametrize("workers", [1, 2])
def test_one_request_in_five_fails(hub: Hub, undisturbed: tuple[str, int], tmp_path: Path, workers: int) -> None:
    write_recipe(tmp_path)
    hub.fault = faults.at_random(0.2, ANY, seed=workers)
    assert digest(start(hub, tmp_path, "mix", workers)) == undisturbed[0]
    assert hub.faulty


def test_an_outage_of_ten_minutes(hub: Hub, undisturbed: tuple[str, int], tmp_path: Path) -> None:
    """By a clock that goes 200 times as fast, begun when some of the text is there."""
    write_recipe(tmp_path)
    real = hub.clock
    hub.clock = lambda: real() * 200
    building = start(hub, tmp_path, "mix", 1)
    while not list(tmp_path.glob("mix/.build/units/*/*.json")):
        time.sleep(0.01)
    hub.fault = faults.outage(hub.clock(), hub.clock() + 600)
    try:
        assert digest(building) == undisturbed[0]
        assert hub.faulty
    finally:
        hub.clock = real


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_while_the_hub_stalls(hub: Hub, undisturbed: tuple[str, int], tmp_path: Path, workers: int) -> None:
    """Resumed, it fetches again no more than a unit a worker."""
    write_recipe(tmp_path)
    before = hub.total()
    building = start(hub, tmp_path, "mix", workers, budget=3600)
    while not list(tmp_path.glob("mix/.build/units/*/*.json")):
        time.sleep(0.01)
    hub.fault = faults.only(r"\.parquet$", faults.stall())
    time.sleep(2.5)
    os.killpg(building.pid, signal.SIGKILL)
    building.communicate()
    hub.fault = None
    assert digest(start(hub, tmp_path, "mix", workers)) == undisturbed[0]
    assert hub.total() - before <= undisturbed[1] + workers * 1.5 * UNIT


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_while_the_hub_stalls(hub: Hub, tmp_path: Path, workers: int) -> None:
    write_recipe(tmp_path)
    hub.requests.clear()
    hub.fault = faults.only(r"\.parquet$", faults.stall())
    command = "from gpts_data.cli.main import cli; cli()"
    building = subprocess.Popen(
        [
            sys.executable,
            "-c",
            command,
            "build-mix",
            "--recipe",
            "recipe.toml",
            "--out",
            "mix",
            "--workers",
            str(workers),
        ],
        cwd=tmp_path,
        env=hub.env(tmp_path / "hf"),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        encoding="utf-8",
    )
    while not (hub.requests and hub.requests[-1].path.endswith(".parquet")):
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(building.pid, signal.SIGINT)
    _, err = building.communicate(timeout=240)  # the retries would last an hour
    assert building.returncode == 130, err


def test_the_budget_is_exit_4_and_resumable(hub: Hub, undisturbed: tuple[str, int], tmp_path: Path) -> None:
    write_recipe(tmp_path)
    hub.fault = faults.times(10**6, faults.only(r"train-1\.parquet$", faults.status(503)))
    arguments = ["build-mix", "--recipe", "recipe.toml", "--out", "mix", "--retry-for", "1s"]
    done = subprocess.run(
        [sys.executable, "-c", SHORT_BUDGET, *arguments],
        cwd=tmp_path,
        env=hub.env(tmp_path / "hf"),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 4
    assert "train-1.parquet: the hub did not answer (HTTP 503); gave up after 1 s" in done.stderr
    hub.fault = None
    assert digest(start(hub, tmp_path, "mix", 1)) == undisturbed[0]


def _large(handler: Handler, path: str) -> bool:
    """Whether more than a footer is asked for."""
    span = re.fullmatch(r"bytes=(\d+)-(\d+)", handler.headers.get("Range") or "")
    return bool(span and path.endswith(".parquet") and int(span[2]) - int(span[1]) > 30_000)


def test_whole_files_give_the_same_windows(hub: Hub, tmp_path: Path) -> None:
    """integrity = "sha256": the recipe differs, the shards do not; a flip on the way is found."""
    shards = []
    for name, more in (("stream", ""), ("whole", 'integrity = "sha256"')):
        home = tmp_path / name
        home.mkdir()
        write_recipe(home, more)
        if more:
            hub.fault = faults.times(2, faults.only(_large, faults.flip(12_345)))
        digest(start(hub, home, "mix", 2))
        manifest = json.loads((home / "mix/manifest.json").read_text(encoding="utf-8"))
        assert {source["integrity"] for source in manifest["sources"].values()} == {"sha256" if more else "stream"}
        shards.append([shard["sha256"] for shard in manifest["shards"]])
    assert shards[0] == shards[1]

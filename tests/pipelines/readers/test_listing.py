"""Listing a dataset: right in the end or a clear end, whichever request fails and however it does.

The clients take some failures for answers: a page instead of README.md is "no such config" to them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpts_data.pipelines.decontaminate.benchmarks import Benchmark, list_benchmark, read_items
from gpts_data.pipelines.errors import RecipeError, SourceUnavailableError, StorageError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.readers.reader import list_files
from gpts_data.pipelines.readers.source import Listing, Source
from tests.support import faults
from tests.support.datasets import card, rows, used_here, write
from tests.support.hub import Handler, Hub

FAST = RetryPolicy(budget=120, first_wait=0.01, longest_wait=0.1)
WEB = Source("web", 1, dataset="acme/web", config="one")


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        web = hub.folder("acme/web")
        card(web, {"one": "data/one/*.parquet", "two": "data/two/*.parquet"})
        for part in ("one/a", "one/b", "two/a"):
            write(web / f"data/{part}.parquet", rows(part, 5))
        yield hub


@pytest.fixture(autouse=True)
def _fresh(hub: Hub, tmp_path: Path) -> Iterator[None]:
    """No cache of the clients from another test, and their own waits short."""
    with used_here(hub, tmp_path, HF_HUB_DOWNLOAD_TIMEOUT="1", HF_HUB_ETAG_TIMEOUT="1"):
        yield
    hub.fault = None


def listing(hub: Hub, retry_policy: RetryPolicy = FAST) -> Listing:
    return list_files(WEB, Path(), FetchOptions(retry_policy=retry_policy))


FAULTS = {"html": faults.html(), "503": faults.status(503), "reset": faults.reset()}


@pytest.mark.parametrize(("name", "number"), [*(("html", n) for n in range(8)), ("503", 0), ("503", 5), ("reset", 5)])
def test_whichever_request_fails(hub: Hub, name: str, number: int) -> None:
    """The n-th request of the first attempt; there are eight."""
    fault = FAULTS[name]
    seen = 0

    def nth(handler: Handler, path: str) -> bool:
        nonlocal seen
        seen += 1
        return seen == number + 1

    hub.fault = faults.only(nth, fault)
    found = listing(hub)
    assert [file.name for file in found.files] == ["data/one/a.parquet", "data/one/b.parquet"]
    assert found.revision == hub.heads["acme/web"]


def test_a_listing_that_hangs_is_given_up_and_asked_again(hub: Hub) -> None:
    hub.fault = faults.times(1, faults.only("/api/datasets", faults.stall_headers()))
    assert len(listing(hub, replace(FAST, stall_timeout=2)).files) == 2  # 10 s: a listing takes five on a busy machine


def test_the_budget_ends_it(hub: Hub) -> None:
    hub.fault = faults.status(503)
    with pytest.raises(SourceUnavailableError, match=r"'acme/web': the hub did not answer \(HTTP 503\); gave up"):
        listing(hub, RetryPolicy(budget=1, first_wait=0.1))


def test_a_hub_that_says_nothing_takes_no_longer_than_the_budget(hub: Hub) -> None:
    hub.fault = faults.stall_headers()
    with pytest.raises(SourceUnavailableError, match="'acme/web': no listing in 2 s"):
        listing(hub, RetryPolicy(budget=2, stall_timeout=0.4))


def test_a_cache_that_cannot_be_written_is_of_the_disk(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with used_here(hub, tmp_path / "file"), pytest.raises(StorageError, match="check HF_HOME"):
        listing(hub)


def test_a_benchmark_may_name_paths_inside_the_dataset(hub: Hub) -> None:
    """Files of two configs at once, without a word to `datasets`; their content whole."""
    patterns = ("data/t*/*.parquet", "data/one/b.*", "data/*/b.parquet")
    benchmark = Benchmark("b", ("text + dump",), patterns, "acme/web", revision="refs/convert/parquet")
    found = list_benchmark(benchmark, Path(), FetchOptions(retry_policy=FAST))
    assert [file.name for file in found.files] == ["data/two/a.parquet", "data/one/b.parquet"]
    assert found.revision == hub.heads["acme/web"]
    items = list(read_items(benchmark, found, FetchOptions(retry_policy=FAST)))
    assert [item.place for item in items[:6:5]] == ["data/two/a.parquet:0", "data/one/b.parquet:0"]
    assert [item.texts for item in items[5:]] == [[f"{text} CC"] for text in rows("one/b", 5)["text"]]
    assert list_benchmark(benchmark, Path(), FetchOptions(retry_policy=FAST), hub.heads["acme/web"]) == found


def test_paths_that_are_not_in_the_dataset(hub: Hub) -> None:
    benchmark = Benchmark("b", ("text",), ("data/three/*",), "acme/web")
    with pytest.raises(
        RecipeError, match=r"'acme/web': files = 'data/three/\*' matches none of its 4 files: README.md, data"
    ):
        list_benchmark(benchmark, Path(), FetchOptions(retry_policy=FAST))


def test_a_benchmark_that_comes_damaged_is_not_used(hub: Hub) -> None:
    benchmark = Benchmark("b", ("text",), ("data/two/*",), "acme/web")
    found = list_benchmark(benchmark, Path(), FetchOptions(retry_policy=FAST))
    hub.fault = faults.only("/resolve/", faults.flip(100))
    with pytest.raises(SourceUnavailableError, match=r"data/two/a.parquet: came damaged"):
        list(read_items(benchmark, found, FetchOptions(retry_policy=FAST)))

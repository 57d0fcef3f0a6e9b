"""Addresses on the hub in `files =` are datasets at a revision, and paths inside them."""

from __future__ import annotations

import pytest

from gpts_data.pipelines.decontaminate.benchmarks import Benchmark
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.readers.addresses import split_hub_addresses
from gpts_data.pipelines.readers.source import Source

WEB = "hf://datasets/acme/web"


def test_addresses_become_a_dataset_and_paths() -> None:
    source = split_hub_addresses(Source("web", 1, (f"{WEB}@refs%2Fpr%2F1/a/*.parquet", f"{WEB}@refs%2Fpr%2F1/b.csv")))
    assert source == Source("web", 1, ("a/*.parquet", "b.csv"), "acme/web", revision="refs/pr/1")
    assert split_hub_addresses(Source("web", 1, (WEB,), revision="v1")) == Source(
        "web", 1, dataset="acme/web", revision="v1"
    )
    benchmark = split_hub_addresses(Benchmark("b", ("text",), (f"{WEB}/test.jsonl",)))
    assert benchmark == Benchmark("b", ("text",), ("test.jsonl",), "acme/web")
    local = Source("web", 1, ("a/*.parquet",))
    assert split_hub_addresses(local) is local


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ((f"{WEB}/a", "b"), "files = 'b', expected hf://datasets/owner/name"),
        (("hf://acme/web/a",), "expected hf://datasets/owner/name"),
        ((f"{WEB}/a", "hf://datasets/acme/books/a"), "several datasets"),
        ((f"{WEB}/a", f"{WEB}@v1/a"), "several datasets or revisions; write one \\[\\[source\\]\\] for each"),
    ],
)
def test_addresses_of_one_dataset_only(files: tuple[str, ...], match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        split_hub_addresses(Source("web", 1, files))
    with pytest.raises(RecipeError, match="names a revision, and so does revision ="):
        split_hub_addresses(Source("web", 1, (f"{WEB}@v1/a",), revision="v2"))

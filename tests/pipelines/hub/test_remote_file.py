"""Remote files: a seekable stream of exactly the file's bytes, fetched once, ahead of need, in bounded memory."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.hub import remote_file
from gpts_data.pipelines.hub.remote_file import FetchOptions, RemoteFile
from tests.support.datasets import used_here
from tests.support.hub import Hub

SIZE = 400_000
CONTENT = random.Random(1).randbytes(SIZE)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub, used_here(hub, tmp_path_factory.mktemp("home")):
        (hub.folder("acme/bytes") / "a.jsonl").write_bytes(CONTENT)
        yield hub


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "BLOCK", 10_000)
    monkeypatch.setattr(remote_file, "PREFETCH_BYTES", 35_000)


def opened(hub: Hub, fetch_options: FetchOptions = FetchOptions()) -> RemoteFile:
    return RemoteFile(f"hf://datasets/acme/bytes@{hub.heads['acme/bytes']}/a.jsonl", SIZE, fetch_options)


STEPS = st.lists(st.tuples(st.sampled_from(["seek", "read"]), st.integers(0, SIZE), st.integers(0, 30_000)), max_size=8)


@given(STEPS, st.one_of(st.none(), st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE))))
@settings(max_examples=40)
def test_like_a_file_in_memory(hub: Hub, steps: list[tuple[str, int, int]], block: tuple[int, int] | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_file, "BLOCK", 10_000)
        ours, theirs = opened(hub), io.BytesIO(CONTENT)
        if block:
            ours.prefetch_blocks(block[0], min(block[0] + block[1], SIZE))
        for what, place, n in steps:
            if what == "seek":
                assert ours.seek(place) == theirs.seek(place)
            else:
                assert ours.read(n) == theirs.read(n)
        assert ours.seek(-5, os.SEEK_END) == theirs.seek(-5, os.SEEK_END)
        assert ours.read() == theirs.read()
        ours.close()


def test_expected_blocks_are_fetched_once_and_ahead(hub: Hub, small: None) -> None:
    before = hub.total()
    with io.BufferedReader(opened(hub), 1000) as file:
        file.raw.prefetch_blocks(0, SIZE)  # type: ignore[attr-defined]
        read = b"".join(iter(lambda: file.read(777), b""))
    assert read == CONTENT
    assert hub.total() - before == SIZE


def test_no_more_is_asked_for_than_may_be_held(hub: Hub, small: None) -> None:
    asked = len(hub.requests)
    with opened(hub) as file:
        file.prefetch_blocks(0, SIZE)
        file.read(1)
        requested = [queued for queued in file._queue if queued.request_id is not None]
        assert sum(queued.stop - queued.start for queued in requested) <= remote_file.PREFETCH_BYTES
        assert sum(map(len, file._loaded.values())) == remote_file.BLOCK
    assert len(hub.requests) - asked <= 1 + remote_file.PREFETCH_BYTES // remote_file.BLOCK


def test_what_is_kept_is_not_fetched_again(hub: Hub, small: None, tmp_path: Path) -> None:
    with opened(hub, FetchOptions(tmp_path, cache_ranges=True)) as file:
        file.prefetch_blocks(25_000, 60_000)
        file.seek(25_000)
        assert file.read(20_000) == CONTENT[25_000:45_000]
    before = len(hub.requests)
    with opened(hub, FetchOptions(tmp_path)) as file:
        file.prefetch_blocks(20_000, 50_000)
        file.seek(20_000)
        assert file.read(30_000) == CONTENT[20_000:50_000]
    assert len(hub.requests) == before


def test_a_kept_range_that_is_too_short_is_fetched_again(hub: Hub, small: None, tmp_path: Path) -> None:
    fetch_options = FetchOptions(tmp_path, cache_ranges=True)
    for _ in range(2):
        with opened(hub, fetch_options) as file:
            file.prefetch_blocks(0, 30_000)
            assert file.read(30_000) == CONTENT[:30_000]
        for path in (tmp_path / "ranges").iterdir():
            path.write_bytes(path.read_bytes()[:-1])


def test_more_than_was_expected_may_be_read(hub: Hub, small: None) -> None:
    with opened(hub) as file:
        file.prefetch([(0, 10_000), (12_000, 20_000)])
        file.load_next(1)
        assert file.read(13_000) == CONTENT[:13_000]
        file.load_next(1)  # the range has been taken already
        file.seek(12_000)
        assert file.read(8000) == CONTENT[12_000:20_000]


def test_the_prefetcher_of_a_file_is_the_file_if_it_is_remote(hub: Hub) -> None:
    local = remote_file.prefetcher(io.BytesIO(CONTENT))
    local.prefetch([(0, 10)])
    local.load_next(1)
    assert not local.reload([(0, 10)])
    assert not local.evict()
    with opened(hub) as file:
        assert remote_file.prefetcher(file) is file
        assert file.reload([(0, 10)])
        assert file.evict()

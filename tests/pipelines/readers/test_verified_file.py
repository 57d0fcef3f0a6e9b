"""The spool: not a byte of a file is used before its sha256 is the listed one."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from gpts_data.pipelines.errors import DataError, SourceUnavailableError
from gpts_data.pipelines.hub.range_fetcher import range_fetcher
from gpts_data.pipelines.hub.remote_file import FetchOptions, RemoteFile
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.readers import verified_file
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import Source, SourceFile
from gpts_data.pipelines.readers.verified_file import list_local, list_local_files, open_checked, open_local, unchanged
from tests.support import faults
from tests.support.datasets import used_here
from tests.support.hub import Hub

CONTENTS = {f"{i}.parquet": random.Random(i).randbytes(20_000) for i in range(4)}
FAST = RetryPolicy(budget=60, stall_timeout=1, first_wait=0.01, longest_wait=0.1)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub, used_here(hub, tmp_path_factory.mktemp("home")):
        for name, content in CONTENTS.items():
            (hub.folder("acme/bytes") / name).write_bytes(content)
        yield hub


@pytest.fixture(autouse=True)
def _no_fault(hub: Hub) -> Iterator[None]:
    yield
    hub.fault = None


def listed(hub: Hub, name: str) -> SourceFile:
    content = CONTENTS[name]
    url = f"hf://datasets/acme/bytes@{hub.heads['acme/bytes']}/{name}"
    return SourceFile(name, url, len(content), sha256(content).hexdigest())


def test_fetched_once_for_all(hub: Hub, tmp_path: Path) -> None:
    before = len(hub.requests)
    for _ in range(3):
        with open_checked(listed(hub, "0.parquet"), FetchOptions(tmp_path, FAST)) as file:
            assert file.read() == CONTENTS["0.parquet"]
    assert len(hub.requests) - before == 1


def test_workers_of_a_machine_fetch_once(hub: Hub, tmp_path: Path) -> None:
    hub.fault = faults.drip(200_000)
    before = hub.total()

    def work() -> None:
        with open_checked(listed(hub, "0.parquet"), FetchOptions(tmp_path, FAST)) as file:
            assert file.read() == CONTENTS["0.parquet"]
        range_fetcher().close()

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert hub.total() - before == len(CONTENTS["0.parquet"])


@pytest.mark.parametrize("bit", random.Random(0).sample(range(8 * 20_000), int(os.environ.get("FLIPS", "25"))))
def test_a_flipped_bit_is_found_and_fetched_again(hub: Hub, tmp_path: Path, bit: int) -> None:
    """FLIPS=1000 for more of them."""
    hub.fault = faults.times(1, faults.flip(bit))
    before = len(hub.requests)
    with open_checked(listed(hub, "1.parquet"), FetchOptions(tmp_path, FAST)) as file:
        assert file.read() == CONTENTS["1.parquet"]
    assert len(hub.requests) - before == 2


def test_a_file_that_is_another_is_refused(hub: Hub, tmp_path: Path) -> None:
    hub.fault = faults.flip(77)
    with pytest.raises(
        SourceUnavailableError, match=r"1\.parquet: fetched 3 times, found sha256 [0-9a-f]{64}, expected"
    ):
        open_checked(listed(hub, "1.parquet"), FetchOptions(tmp_path, FAST))
    assert [path.suffix for path in (tmp_path / "files").iterdir()] == [".lock"]


def test_what_a_killed_build_left_counts(hub: Hub, tmp_path: Path) -> None:
    wanted = listed(hub, "2.parquet")
    part = tmp_path / "files" / f"{wanted.sha256}.part"
    part.parent.mkdir()
    part.write_bytes(CONTENTS["2.parquet"][:15_000])
    before = hub.total()
    with open_checked(wanted, FetchOptions(tmp_path, FAST)) as file:
        assert file.read() == CONTENTS["2.parquet"]
    assert hub.total() - before <= 20_000


def test_room_is_bounded_and_open_files_stay_whole(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_file, "SPOOL_BYTES", 45_000)
    files = [open_checked(listed(hub, name), FetchOptions(tmp_path, FAST)) for name in CONTENTS]
    there = [path for path in (tmp_path / "files").iterdir() if not path.suffix]
    assert sum(path.stat().st_size for path in there) <= 45_000
    for file, content in zip(files, CONTENTS.values(), strict=True):
        assert file.read() == content
        file.close()


def test_workers_that_make_room_for_each_other(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for two of four files; three workers open all of them again and again."""
    monkeypatch.setattr(verified_file, "SPOOL_BYTES", 45_000)
    wrong: list[object] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(30):
                name = rng.choice(list(CONTENTS))
                with open_checked(listed(hub, name), FetchOptions(tmp_path, FAST)) as file:
                    assert file.read() == CONTENTS[name]
        except BaseException as error:
            wrong.append(error)
        range_fetcher().close()

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_a_fetched_file_that_another_worker_uses_too_is_unchanged(hub: Hub, tmp_path: Path) -> None:
    """Each use is noted in the file's times."""
    file, options = listed(hub, "0.parquet"), FetchOptions(tmp_path, FAST)
    with open_checked(file, options) as opened, unchanged(file, opened):
        open_checked(file, options).close()


def test_what_is_kept_of_streaming_is_not_used(hub: Hub, tmp_path: Path) -> None:
    """A damaged range, kept by another source over the same file."""
    wanted = listed(hub, "3.parquet")
    with RemoteFile(wanted.location, wanted.size, FetchOptions(tmp_path, FAST, cache_ranges=True)) as streamed:
        hub.fault = faults.flip(5)
        streamed.prefetch_blocks(0, wanted.size)
        assert streamed.read() != CONTENTS["3.parquet"]
    hub.fault = None
    with open_checked(wanted, FetchOptions(tmp_path, FAST)) as file:
        assert file.read() == CONTENTS["3.parquet"]


def test_a_local_file_that_changed_since_it_was_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"as planned")
    before = path.stat()
    file = list_local("a.jsonl", str(path))
    path.touch()
    with open_local(file) as opened:  # only its times changed
        assert opened.read() == b"as planned"
    path.write_bytes(b"as changed")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(
        DataError, match=r"a\.jsonl: found sha256 .*, expected .* as when the build began; put the file"
    ):
        open_local(file)
    path.unlink()
    path.write_bytes(b"as planned")  # another file of the same content
    with open_local(file) as opened:
        assert opened.read() == b"as planned"


def test_a_local_file_that_changes_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "document {i}"}}\n' for i in range(2000)), encoding="utf-8")
    source = Source("web", 1, ("*.jsonl",))
    (file,) = list_files(source, tmp_path).files
    (unit,) = split_units(source, file, 1 << 20)
    batches = read(source, unit)
    next(batches)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"document 19", b"DOCUMENT 19"))
    with pytest.raises(SourceUnavailableError, match="changed while it was read; leave it as it was"):
        list(batches)
    with pytest.raises(DataError, match="put the file back"):
        list(read(source, unit))
    path.write_bytes(content)
    assert sum(batch.num_rows for batch in read(source, unit)) == 2000


def test_a_local_file_that_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"as planned")
    file = SourceFile("a.parquet", str(path), 10, sha256(b"as planned").hexdigest())
    with open_checked(file, FetchOptions()) as opened:
        assert opened.read() == b"as planned"
    path.write_bytes(b"as changed")
    with pytest.raises(DataError, match="put the file back"):
        open_checked(file, FetchOptions())
    path.unlink()
    with pytest.raises(DataError, match="found no file, expected 10 bytes"):
        open_checked(file, FetchOptions())


def test_files_are_listed_in_order_with_their_digests(tmp_path: Path) -> None:
    names = [f"{n}.txt" for n in range(20)]
    for name in names:
        (tmp_path / name).write_text(name, encoding="utf-8")
    listed = list_local_files(names, [str(tmp_path / name) for name in names])
    assert listed == tuple(list_local(name, str(tmp_path / name)) for name in names)


def test_an_error_ends_the_reading_of_other_files(tmp_path: Path) -> None:
    """A file of a terabyte, without a byte on disk, would be read for ten minutes or more."""
    large = tmp_path / "large.txt"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(FileNotFoundError):
        list_local_files(["none.txt", "large.txt"], [str(tmp_path / "none.txt"), str(large)])

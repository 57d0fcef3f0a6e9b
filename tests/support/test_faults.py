"""Each fault is what it says, as a bare `http.client` sees it and, for redirects, the real client."""

from __future__ import annotations

import json
import random
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection, HTTPResponse, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import faults
from tests.support.datasets import alone
from tests.support.hub import Hub

BODY = random.Random(0).randbytes(600_001)  # some pieces, and no even number of bytes
INFO = "/api/datasets/acme/toy"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as hub:
        (hub.folder("acme/toy") / "a b.parquet").write_bytes(BODY)
        yield hub
    assert soon(lambda: not busy(hub)), "a handler outlives its hub"


def file(hub: Hub, revision: str = "main") -> str:
    return f"/datasets/acme/toy/resolve/{revision}/a%20b.parquet"


def ask(hub: Hub, path: str, span: str | None = None, method: str = "GET", timeout: float = 20) -> HTTPResponse:
    connection = HTTPConnection("127.0.0.1", urlsplit(hub.url).port, timeout=timeout)
    connection.request(method, path, headers={"Range": f"bytes={span}"} if span else {})
    return connection.getresponse()


def busy(hub: Hub) -> bool:
    """Whether a handler still has its connection."""
    return any(connection.fileno() != -1 for connection in tuple(hub.connections))


def soon(condition: Any) -> bool:
    """Whether it comes true within 5 seconds."""
    end = time.monotonic() + 5
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return bool(found)


def served(hub: Hub) -> int:
    return sum(hub.served.values())


def test_a_sound_hub(hub: Hub) -> None:
    """Bodies and ranges as they are; what is asked and what goes out is on record."""
    assert ask(hub, file(hub)).read() == BODY
    answer = ask(hub, file(hub), "5-")
    assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 5-600000/600001")
    assert answer.read() == BODY[5:]
    assert ask(hub, file(hub), "600001-").status == 416
    assert ask(hub, file(hub), method="HEAD").headers["Content-Length"] == "600001"
    assert hub.served == {f"acme/toy/{hub.heads['acme/toy']}/a b.parquet": 2 * len(BODY) - 5}
    assert [(r.method, r.range, r.authorized) for r in hub.requests[1::2]] == [
        ("GET", "bytes=5-", False),
        ("HEAD", None, False),
    ]
    assert hub.faulty == 0


def test_a_big_file_is_not_read_into_memory(hub: Hub) -> None:
    big = hub.folder("acme/toy") / "big.parquet"
    with big.open("wb") as opened:
        opened.truncate(100_000_000)
    tracemalloc.start()
    assert ask(hub, "/datasets/acme/toy/resolve/main/big.parquet", "99999990-").read() == bytes(10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_listing_follows_a_changed_file(hub: Hub) -> None:
    def digest() -> Any:
        return json.loads(ask(hub, f"{INFO}/tree/main").read())[0]["lfs"]["oid"]

    before = digest()
    assert digest() == before
    (hub.folder("acme/toy") / "a b.parquet").write_bytes(BODY[::-1] + b"!")
    assert digest() != before


def test_status(hub: Hub) -> None:
    hub.fault = faults.status(429, Retry_After=3)
    answer = ask(hub, file(hub))
    assert (answer.status, answer.headers["Retry-After"], answer.read()) == (429, "3", b"")
    assert (served(hub), hub.faulty) == (0, 1)


def test_reset(hub: Hub) -> None:
    hub.fault = faults.reset()
    with pytest.raises(ConnectionResetError) as caught:
        ask(hub, file(hub))
    assert caught.type is ConnectionResetError, "RemoteDisconnected would be an orderly end"


def test_early_close(hub: Hub) -> None:
    hub.fault = faults.early_close()
    answer = ask(hub, file(hub))
    with pytest.raises(IncompleteRead) as caught:
        answer.read()
    assert caught.value.partial == BODY[:300_000]
    assert answer.headers["Content-Length"] == "600001"
    assert served(hub) == 300_000


def test_stall_until_the_client_goes_away(hub: Hub) -> None:
    hub.fault = faults.stall(after=1000)
    answer = ask(hub, file(hub), timeout=0.3)
    assert answer.read(1000) == BODY[:1000]
    with pytest.raises(TimeoutError):
        answer.read(1)
    assert busy(hub)
    answer.close()
    assert soon(lambda: not busy(hub))
    assert served(hub) == 1000


@pytest.mark.parametrize("fault", [faults.stall, faults.stall_headers], ids=["body", "headers"])
def test_stall_until_told(hub: Hub, fault: Any) -> None:
    told = threading.Event()
    hub.fault = fault(told)
    threading.Timer(0.3, told.set).start()
    began = time.monotonic()
    assert ask(hub, file(hub)).read() == BODY
    hub.fault = fault(0.3)
    assert ask(hub, file(hub)).read() == BODY
    assert time.monotonic() - began > 0.6


@pytest.mark.parametrize(
    "fault",
    [faults.stall(), faults.stall_headers(), faults.stall(threading.Event()), faults.drip(10)],
    ids=lambda _: "",
)
def test_a_held_request_ends_with_the_hub(hub: Hub, fault: faults.Fault) -> None:
    hub.fault = fault
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(lambda: ask(hub, file(hub)).read())
        assert soon(lambda: busy(hub))
        hub.stop()
        with pytest.raises((IncompleteRead, ConnectionError)):
            asked.result(5)
    hub.fault = None
    assert ask(hub.start(), file(hub)).read() == BODY


def test_stall_headers_says_nothing(hub: Hub) -> None:
    hub.fault = faults.stall_headers()
    with pytest.raises(TimeoutError):
        ask(hub, file(hub), timeout=0.3)


def test_drip(hub: Hub) -> None:
    hub.fault = faults.drip(10_000)
    began = time.monotonic()
    answer = ask(hub, file(hub), "0-4999", timeout=0.3)
    assert answer.read() == BODY[:5000]
    assert 0.4 < time.monotonic() - began < 5
    answer = ask(hub, file(hub))
    answer.read(1)
    answer.close()
    assert soon(lambda: not busy(hub))
    assert served(hub) < 20_000


def test_short_body(hub: Hub) -> None:
    hub.fault = faults.short_body()
    answer = ask(hub, file(hub), "100-1099")
    assert (answer.status, answer.headers["Content-Range"]) == (206, "bytes 100-599/600001")
    assert answer.headers["Content-Length"] == "500"
    assert answer.read() == BODY[100:600]
    assert ask(hub, file(hub)).read() == BODY, "it takes a range to be shorter than"


def test_ignored_range(hub: Hub) -> None:
    hub.fault = faults.ignored_range()
    answer = ask(hub, file(hub), "100-1099")
    assert (answer.status, answer.headers["Content-Range"], answer.read()) == (200, None, BODY)


@pytest.mark.parametrize("path", [file, lambda hub: INFO], ids=["file", "api"])
def test_html(hub: Hub, path: Any) -> None:
    hub.fault = faults.html()
    answer = ask(hub, path(hub))
    assert (answer.status, answer.headers.get_content_type()) == (200, "text/html")
    assert answer.read().startswith(b"<!doctype html>")


@pytest.mark.parametrize("bit", [0, 7, 8, 4_800_007, 4_800_008, 4_000_003], ids=str)
@pytest.mark.parametrize("start", [0, 599_000])
def test_flip(hub: Hub, bit: int, start: int) -> None:
    hub.fault = faults.flip(bit)
    found, size = ask(hub, file(hub), f"{start}-").read(), len(BODY) - start
    wrong = int.from_bytes(found, "little") ^ int.from_bytes(BODY[start:], "little")
    assert (len(found), wrong) == (size, 1 << bit % (8 * size))


def test_redirect(hub: Hub) -> None:
    """To the same commit elsewhere, with what a client wants to know beforehand; only as signed, and in time."""
    hub.fault = faults.redirect(expires=60)
    moved = ask(hub, file(hub), method="HEAD")
    target = urlsplit(moved.headers["Location"])
    assert (moved.status, moved.headers["X-Linked-Size"]) == (302, "600001")
    assert (target.hostname, target.path) == ("localhost", file(hub, moved.headers["X-Repo-Commit"]))
    address = f"{target.path}?{target.query}"
    assert ask(hub, address, "3-9").read() == BODY[3:10]
    assert ask(hub, address.replace("Expires=", "Expires=9")).status == 403
    assert ask(hub, INFO).status == 200
    assert ask(hub, "/datasets/acme/toy/resolve/main/none.parquet").status == 404
    hub.fault = faults.redirect(expires=-1)
    late = urlsplit(ask(hub, file(hub)).headers["Location"])
    assert ask(hub, f"{late.path}?{late.query}").status == 403


def test_gone_revision(hub: Hub) -> None:
    hub.fault = faults.gone_revision()
    answer = ask(hub, file(hub, hub.heads["acme/toy"]))
    assert (answer.status, answer.headers["X-Error-Code"]) == (404, "RevisionNotFound")
    assert ask(hub, INFO).status == ask(hub, file(hub)).status == 200
    hub.fault = faults.gone_revision("0" * 40)
    assert ask(hub, file(hub, hub.heads["acme/toy"])).status == 200


def statuses(hub: Hub, n: int, threads: int = 1) -> list[int]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda _: ask(hub, INFO).status, range(n)))


def test_times_counts_right_when_many_ask(hub: Hub) -> None:
    """And does not count what is not the fault's own."""
    hub.fault = faults.times(5, faults.only("/api/", faults.first(faults.ignored_range(), faults.status(503))))
    assert ask(hub, file(hub)).status == 200
    assert sorted(statuses(hub, 60, threads=12)) == 55 * [200] + 5 * [503]
    assert hub.faulty == 5


def test_at_random_depends_on_the_seed(hub: Hub) -> None:
    drawn = []
    for seed in (1, 1, 2):
        hub.fault = faults.at_random(0.3, [faults.status(500), faults.status(503)], seed)
        drawn.append(statuses(hub, 100))
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(5 < drawn[0].count(code) < 30 for code in (500, 503))
    hub.fault = faults.at_random(0.3, [faults.status(500), faults.status(503)], 1)
    assert sorted(statuses(hub, 100, threads=8)) == sorted(drawn[0])


def test_outage(hub: Hub) -> None:
    hub.fault = faults.outage(600, 1200, faults.status(503))
    found = []
    for now in (0.0, 599.9, 600.0, 1199.9, 1200.0):
        hub.clock = partial(float, now)
        found += statuses(hub, 1)
    assert found == [200, 200, 503, 503, 200]


def fetch() -> list[Any]:
    """A range through the file system, and the whole file by download."""
    from pathlib import Path

    from huggingface_hub import HfFileSystem, hf_hub_download

    with HfFileSystem().open("datasets/acme/toy/a b.parquet", cache_type="none") as opened:
        opened.seek(1000)
        part = opened.read(50)
    whole = Path(hf_hub_download("acme/toy", "a b.parquet", repo_type="dataset")).read_bytes()
    return [part.hex(), whole.hex()]


def test_the_real_client_keeps_its_token_from_the_cdn(hub: Hub, tmp_path: Path) -> None:
    """A range is asked for at the hub again when it fails, a download goes straight to the address that HEAD got."""
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text("hf_canary", encoding="utf-8")
    hub.fault = faults.first(faults.only(faults.at_cdn, faults.times(1, faults.status(503))), faults.redirect())
    part, whole = alone(hub, tmp_path, fetch)
    assert (bytes.fromhex(part), bytes.fromhex(whole)) == (BODY[1000:1050], BODY)
    asked = [(r.method, str(r.host).split(":")[0], r.authorized) for r in hub.requests if "/resolve/" in r.path]
    here, there = ("GET", "127.0.0.1", True), ("GET", "localhost", False)
    assert asked == [here, there, here, there, ("HEAD", "127.0.0.1", True), there]

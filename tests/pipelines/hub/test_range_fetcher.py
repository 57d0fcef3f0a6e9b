"""The range fetcher returns the bytes that were asked for, whatever the network does, or fails with a clear error."""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.errors import RecipeError, SourceUnavailableError
from gpts_data.pipelines.hub.range_fetcher import Range, RangeFetcher, range_fetcher
from gpts_data.pipelines.hub.retry import RetryPolicy
from tests.support import faults
from tests.support.datasets import used_here
from tests.support.hub import Hub

SIZE = 3_000_000
CONTENT = random.Random(0).randbytes(SIZE)
FAST = RetryPolicy(budget=60, stall_timeout=1, first_wait=0.02, longest_wait=0.2)
SLOW_MACHINE = RetryPolicy(stall_timeout=60)  # where nothing stalls: a listing may take long on a busy machine


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    home = tmp_path_factory.mktemp("home")
    with Hub(tmp_path_factory.mktemp("hub")) as hub, used_here(hub, home, HF_HUB_DOWNLOAD_TIMEOUT="5"):
        (hub.folder("acme/bytes") / "a.parquet").write_bytes(CONTENT)
        yield hub


@pytest.fixture(autouse=True)
def _no_fault(hub: Hub) -> Iterator[None]:
    yield
    hub.fault = None


def ranged(hub: Hub, start: int = 0, stop: int = SIZE) -> Range:
    return Range(f"hf://datasets/acme/bytes@{hub.heads['acme/bytes']}/a.parquet", SIZE, start, stop)


@given(st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(1, 200_000)), min_size=1, max_size=6), st.randoms())
@settings(max_examples=30)
def test_ranges_in_any_order(hub: Hub, spans: list[tuple[int, int]], rng: random.Random) -> None:
    asked = [ranged(hub, start, min(start + n, SIZE)) for start, n in spans]
    for wanted in asked:
        range_fetcher().request(wanted)
    rng.shuffle(asked)
    assert all(range_fetcher().result(wanted, FAST) == CONTENT[wanted.start : wanted.stop] for wanted in asked)


FAULTS = {
    "503": faults.status(503),
    "500": faults.status(500),
    "429": faults.status(429, Retry_After=1),
    "403 for a while": faults.status(403),
    "reset": faults.reset(),
    "early close": faults.early_close(),
    "short body": faults.short_body(),
    "ignored range": faults.ignored_range(),
    "a page": faults.html(),
    "stall": faults.stall(),
    "no answer": faults.stall_headers(),
    "drip": faults.drip(64),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_waited_out(hub: Hub, name: str) -> None:
    hub.fault = faults.times(2, FAULTS[name])
    before = len(hub.requests)
    assert range_fetcher().result(ranged(hub, 1000), FAST) == CONTENT[1000:]
    assert len(hub.requests) - before == 3


def test_one_request_in_five_fails(hub: Hub) -> None:
    hub.fault = faults.at_random(0.2, list(FAULTS.values()), seed=3)
    asked = [ranged(hub, start, start + 30_000) for start in range(0, SIZE, 30_000)]
    assert b"".join(range_fetcher().result(wanted, FAST) for wanted in asked) == CONTENT


def test_after_a_stall_only_the_rest_is_asked_for(hub: Hub) -> None:
    hub.fault = faults.times(1, faults.stall(after=SIZE // 2))
    before, asked = hub.total(), len(hub.requests)
    assert range_fetcher().result(ranged(hub), FAST) == CONTENT
    assert [r.range for r in hub.requests[asked:]] == [f"bytes=0-{SIZE - 1}", f"bytes={SIZE // 2}-{SIZE - 1}"]
    assert hub.total() - before == SIZE


def test_a_redirect_expires_and_the_token_is_not_sent_to_the_cdn(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 30)
    hub.fault = faults.first(
        faults.times(3, faults.only(faults.at_cdn, faults.status(403))), faults.redirect(expires=60)
    )
    asked = len(hub.requests)
    mine = RangeFetcher()
    assert mine.result(ranged(hub), FAST) == CONTENT
    mine.close()
    new = hub.requests[asked:]
    assert {(bool(r.host and r.host.startswith("localhost")), r.authorized) for r in new} == {
        (True, False),
        (False, True),
    }


def test_an_outage_is_waited_out(hub: Hub) -> None:
    """Ten minutes by a clock that runs 400 times as fast."""
    begin = hub.clock() * 400
    real, hub.clock = hub.clock, lambda: real() * 400
    hub.fault = faults.outage(begin, begin + 600)
    try:
        assert range_fetcher().result(ranged(hub), FAST) == CONTENT
    finally:
        hub.clock = real


def test_it_gives_up_when_the_budget_is_spent(hub: Hub) -> None:
    hub.fault = faults.status(503)
    with pytest.raises(SourceUnavailableError, match=r"a\.parquet: .* \(HTTP 503\); gave up after 1 s"):
        range_fetcher().result(ranged(hub), RetryPolicy(budget=1, first_wait=0.1))


def test_a_pause_is_logged(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.fault = faults.times(1, faults.status(429, Retry_After=2))
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "gpts_data"):
        range_fetcher().result(ranged(hub), FAST)
    assert time.monotonic() - began >= 2
    (record,) = caplog.records
    assert "a.parquet: the hub refused (HTTP 429); trying again in 2 s (attempt 1)" in record.getMessage()


def test_a_wait_longer_than_the_budget_is_not_begun(hub: Hub) -> None:
    hub.fault = faults.status(429, Retry_After=7200)
    with pytest.raises(SourceUnavailableError, match="HTTP 429"):
        range_fetcher().result(ranged(hub), FAST)


REFUSED = {
    "gone": faults.gone_revision(),
    "gated": faults.status(401, X_Error_Code="GatedRepo"),
    "token": faults.status(401, X_Error_Message="Invalid credentials in Authorization header"),
}


@pytest.mark.parametrize("fault", REFUSED.values(), ids=REFUSED)
def test_permanent_errors_are_not_retried(hub: Hub, fault: faults.Fault) -> None:
    hub.fault = fault
    with pytest.raises(RecipeError):
        range_fetcher().result(ranged(hub), RetryPolicy())


@pytest.mark.parametrize("endpoint", ["{}/", "{}"])
def test_an_endpoint_may_end_with_a_slash(hub: Hub, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint.format(hub.url))
    mine = RangeFetcher()
    commit, files = mine.list_files("acme/bytes", None, "train", None, SLOW_MACHINE)
    assert (commit, [file.path for file in files]) == (hub.heads["acme/bytes"], ["a.parquet"])
    assert mine.result(ranged(hub, 0, 10), FAST) == CONTENT[:10]
    mine.close()


def test_an_endpoint_that_is_not_a_url(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "127.0.0.1:1234")
    mine = RangeFetcher()
    with pytest.raises(RecipeError, match="HF_ENDPOINT must begin with https://"):
        mine.result(ranged(hub), FAST)
    mine.close()


def test_modules_of_the_current_folder_stay_out(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue", "datasets", "httpx2"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(3)", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    mine = RangeFetcher()
    assert mine.result(ranged(hub, 0, 10), FAST) == CONTENT[:10]
    mine.close()


def test_a_killed_worker_is_replaced(hub: Hub) -> None:
    hub.fault = faults.times(1, faults.stall(after=1000))
    mine, wanted = RangeFetcher(), ranged(hub)
    mine.request(wanted)
    pid = mine._worker._process.pid  # type: ignore[union-attr]
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    assert mine.result(wanted, RetryPolicy(first_wait=0.01)) == CONTENT
    mine.close()


def test_a_worker_killed_as_it_starts_is_replaced(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    real, killed = subprocess.Popen, []

    def killing(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = real(*arguments, **options)
        if len(killed) < 2:
            process.kill()
            killed.append(process)
        return process

    monkeypatch.setattr("gpts_data.pipelines.hub.worker_process.subprocess.Popen", killing)
    mine, wanted = RangeFetcher(), ranged(hub)
    mine.request(wanted)
    assert mine.result(wanted, FAST) == CONTENT
    assert len(killed) == 2
    mine.close()


def test_the_worker_ends_with_its_parent(hub: Hub) -> None:
    """Even when the parent is killed while the worker hangs in a read."""
    hub.fault = faults.stall()
    code = (
        "from gpts_data.pipelines.hub.range_fetcher import Range, RangeFetcher\n"
        "from gpts_data.pipelines.hub.retry import RetryPolicy\n"
        f"wanted = {ranged(hub)!r}\n"
        "c = RangeFetcher(); c.request(wanted); print(c._worker._process.pid, flush=True)\n"
        "c.result(wanted, RetryPolicy())"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, encoding="utf-8")
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.wait()
    for _ in range(100):
        if (
            not Path(f"/proc/{worker}").exists()
            or "Z" in Path(f"/proc/{worker}/stat").read_text(encoding="utf-8").split()[2]
        ):
            return
        time.sleep(0.05)
    raise AssertionError("the worker is still running")


def test_ctrl_c_while_the_hub_stalls(hub: Hub) -> None:
    hub.fault = faults.stall()
    code = (
        "from gpts_data.pipelines.hub.range_fetcher import Range, RangeFetcher\n"
        "from gpts_data.pipelines.hub.retry import RetryPolicy\n"
        f"wanted = {ranged(hub)!r}\n"
        "c = RangeFetcher(); c.request(wanted); print('asked', flush=True); c.result(wanted, RetryPolicy())"
    )
    reader = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    )
    assert reader.stdout is not None
    reader.stdout.readline()
    time.sleep(0.5)
    reader.send_signal(signal.SIGINT)
    reader.wait(240)  # the retries would last an hour
    assert reader.returncode == -signal.SIGINT or reader.returncode == 1

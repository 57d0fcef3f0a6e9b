"""What runs in a dask worker beside the task: dask's profiler, which can freeze old Pythons, is stopped."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from distributed import Client

from gpts_data.pipelines.execute import open_engine
from tests.support.cluster import cluster

RUNS = "__import__('distributed').get_worker().periodic_callbacks['profile'].is_running()"


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the profiler freezes no process since Python 3.12")
def test_the_check_of_workers_stops_their_profiler(tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster", {}, workers=1) as running, Client(running.address) as client:
        assert client.submit(eval, RUNS, pure=False).result()
        with open_engine(scheduler=running.address):
            pass
        deadline = time.monotonic() + 60
        while client.submit(eval, RUNS, pure=False).result() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not client.submit(eval, RUNS, pure=False).result()

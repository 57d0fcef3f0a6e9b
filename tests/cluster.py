"""A real dask cluster of processes: a scheduler and workers, each with a folder and a TMPDIR of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

DASK = "import sys; from dask.__main__ import main; sys.argv[0] = 'dask'; main()"


@dataclass(frozen=True)
class Cluster:
    address: str
    workers: tuple[subprocess.Popen[bytes], ...]


@contextmanager
def cluster(folder: Path, environment: Mapping[str, str], workers: int = 2) -> Iterator[Cluster]:
    """`dask scheduler` and `dask worker`s, started by the command line; `environment` is added to this process's."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        file = folder / "scheduler.json"
        stack.enter_context(
            _running(
                folder / "scheduler",
                environment,
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(file),
            )  # fmt: skip
        )
        _wait(file)
        started = [
            stack.enter_context(
                _running(
                    folder / f"worker-{n}",
                    environment,
                    "worker",
                    "--scheduler-file",
                    str(file),
                    "--nthreads",
                    "1",
                    "--no-dashboard",
                    "--host",
                    "127.0.0.1",
                )  # fmt: skip
            )
            for n in range(workers)
        ]
        yield Cluster(_address(file), tuple(started))


@contextmanager
def _running(home: Path, environment: Mapping[str, str], *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A dask process at home in a folder of its own. Its children die with it: they are of its session."""
    (home / "tmp").mkdir(parents=True)
    own = {**os.environ, **environment, "TMPDIR": str(home / "tmp"), "HOME": str(home)}
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", DASK, *command], cwd=home, env=own, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _wait(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the scheduler did not write {file}: {(file.parent / 'scheduler' / 'log').read_text()}")
        time.sleep(0.05)


def _address(file: Path) -> str:
    import json

    return str(json.loads(file.read_bytes())["address"])

"""A real dask cluster: a scheduler and workers as processes, each with its own folder and TMPDIR."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

DASK = "import sys; from dask.__main__ import main; sys.argv[0] = 'dask'; main()"
WITHOUT_PACKAGE = f"import sys; sys.modules['gpts_data'] = None; {DASK}"
OTHER_PYTHON = f"""
import sys
from distributed import versions
from distributed.worker import Worker
info = versions.get_system_info()
versions.get_system_info = lambda: {{**info, "python": "3.9.2.final.0"}}
Worker.handle_compute_task = lambda *_, **__: None  # as when it cannot decode the task
{DASK}
"""


@dataclass(frozen=True)
class Cluster:
    """`workers` are the nannies that `dask worker` starts; each has a child process that runs the tasks."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: tuple[subprocess.Popen[bytes], ...]

    def children(self, number: int) -> list[int]:
        """Process ids of a nanny's worker: one, or none while the nanny restarts it."""
        found = psutil.Process(self.workers[number].pid).children()
        return [process.pid for process in found if "spawn_main" in " ".join(process.cmdline())]


@contextmanager
def cluster(folder: Path, environment: Mapping[str, str], workers: int = 2, program: str = DASK) -> Iterator[Cluster]:
    """Run `dask scheduler` and `dask worker` processes; `environment` is added to this process's environment.

    program: of the workers, such as WITHOUT_PACKAGE, whose processes cannot import gpts_data, or OTHER_PYTHON, whose
    processes drop every task. Only those of DASK have nannies.
    """
    folder.mkdir(parents=True)
    file = folder / "scheduler.json"
    common = ("--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file))
    with ExitStack() as stack:

        def start(name: str, *command: str, program: str = DASK) -> subprocess.Popen[bytes]:
            return stack.enter_context(_running(folder / name, environment, program, *command, *common))

        scheduler = start("scheduler", "scheduler", "--port", "0")
        _wait(file)
        worker = ("worker", "--nthreads", "1", *([] if program == DASK else ["--no-nanny"]))
        started = [start(f"worker-{n}", *worker, program=program) for n in range(workers)]
        yield Cluster(_address(file), scheduler, tuple(started))


@contextmanager
def _running(
    home: Path, environment: Mapping[str, str], program: str, *command: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A dask process in its own folder and session; its children are killed with it."""
    (home / "tmp").mkdir(parents=True)
    own = {**os.environ, **environment, "TMPDIR": str(home / "tmp"), "HOME": str(home)}
    with open(home / "log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *command], cwd=home, env=own, stdout=log, stderr=log, start_new_session=True
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
            raise RuntimeError(
                f"the scheduler did not write {file}: {(file.parent / 'scheduler' / 'log').read_text(encoding='utf-8')}"
            )
        time.sleep(0.05)


def _address(file: Path) -> str:
    import json

    return str(json.loads(file.read_bytes())["address"])

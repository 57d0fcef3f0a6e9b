"""Worker processes on this machine: killed, stopped and abandoned ones, and nothing that others can reach."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from gpts_data.pipelines import stall_warning, worker_pool
from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.worker_pool import WorkerPool, open_worker_pool

# Tasks are builtins, since a worker loads the functions of the package but not those of the tests.
PROCESS = "__import__('os').getpid()"
NAP = "__import__('time').sleep(0.05)"
TMPDIR = "__import__('tempfile').gettempdir()"
DIE = "__import__('os')._exit(3)"


NOTHING = partial(exec, "")  # a warm-up that loads nothing: workers are forked


@pytest.fixture(scope="module", params=[None, NOTHING], ids=["started", "forked"])
def pool(request: pytest.FixtureRequest) -> Iterator[WorkerPool]:
    with open_worker_pool(2, request.param) as opened:
        yield opened


@pytest.fixture
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(worker_pool, "STOPPED_POLLS", 2)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.usefixtures("quick_polls")
def test_a_worker_that_is_killed_or_stopped_costs_its_task_and_no_more(
    pool: WorkerPool, tmp_path: Path, blow: signal.Signals, caplog: pytest.LogCaptureFixture
) -> None:
    """The task that deals the blow runs twice, and does nothing the second time."""
    mark = str(tmp_path / "dealt")
    deal = f"import os\nif not os.path.exists({mark!r}):\n os.mkdir({mark!r})\n os.kill(os.getpid(), {int(blow)})"
    assert list(pool.map(exec, ["pass", "pass", deal, *["pass"] * 5])) == [None] * 8
    how = {signal.SIGKILL: "was killed by signal 9", signal.SIGSTOP: "was stopped by a signal"}[blow]
    (message,) = [record.getMessage() for record in caplog.records]
    assert how in message and "another one runs" in message


@pytest.mark.usefixtures("quick_polls")
def test_an_idle_worker_that_is_killed_or_stopped_is_replaced(pool: WorkerPool) -> None:
    for blow in (signal.SIGKILL, signal.SIGSTOP):
        processes = set(pool.map(eval, [PROCESS] * 2))
        for process in processes:
            os.kill(process, blow)
        assert processes.isdisjoint(pool.map(eval, [PROCESS] * 4))


def test_a_task_whose_workers_die_is_an_error_that_names_it(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    message = r"_exit\(3\).*its worker died 4 times; the last one ended with exit code 3.*fewer --workers"
    with pytest.raises(GptsDataError, match=message):
        list(pool.map(eval, [DIE]))
    assert len(caplog.records) == 3
    assert list(pool.map(abs, [-1])) == [1]


def test_an_error_carries_the_traceback_of_the_worker(pool: WorkerPool) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        list(pool.map(eval, ["1/0"]))
    assert 'File "<string>", line 1' in str(raised.value.__cause__)


def test_errors_and_results_that_cannot_be_sent_are_errors(pool: WorkerPool) -> None:
    with pytest.raises(RuntimeError, match="Opaque: no arguments"):
        list(pool.map(exec, ["class Opaque(Exception):\n def __str__(self): return 'no arguments'\nraise Opaque"]))
    with pytest.raises(TypeError, match="cannot be sent"):
        list(pool.map(eval, ["lambda: 1"]))


def test_a_map_that_is_given_up_leaves_the_pool_ready(pool: WorkerPool) -> None:
    results = pool.map(eval, [NAP] * 20)
    next(results)
    assert list(pool.map(abs, [-1, -1])) == [1, 1]
    with pytest.raises(RuntimeError, match="given other tasks"):
        list(results)


@pytest.mark.usefixtures("quick_polls")
def test_a_stage_in_which_nothing_finishes_says_what_it_waits_for(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stall_warning, "STALL_SECONDS", 0.1)
    file = tmp_path / "go on"
    results = pool.map(exec, [f"import os, time\nwhile not os.path.exists({str(file)!r}): time.sleep(0.01)"])

    def go_on(record: object) -> bool:
        file.touch()
        return True

    monkeypatch.setattr(caplog.handler, "filter", go_on)
    assert list(results) == [None]
    assert "no task has finished for 0 minutes; waiting for import os" in caplog.text
    assert "kill -USR1" in caplog.text


def listening() -> set[tuple[object, ...]]:
    """All sockets on which this process and its descendants wait for connections."""
    tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return {
        (process.pid, connection.laddr)
        for process in tree
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.mark.parametrize("warm_up", [None, NOTHING], ids=["started", "forked"])
def test_a_pool_opens_no_port_and_leaves_no_process_and_no_file(
    warm_up: Callable[[], object] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before, others = listening(), set(psutil.Process().children(recursive=True))
    with open_worker_pool(2, warm_up) as opened:
        assert len(set(opened.map(eval, [PROCESS] * 8))) <= 2
        (folder,) = set(opened.map(eval, [TMPDIR] * 4))
        assert Path(folder).parent == tmp_path
        results = opened.map(eval, [NAP] * 8)
        next(results)
        processes = set(psutil.Process().children(recursive=True)) - others
        assert listening() == before
        list(opened.map(exec, [f"open({folder!r} + '/left', 'w').close()"]))
    assert not list(tmp_path.iterdir())
    assert len(processes) == (2 if warm_up is None else 3) and not any(process.is_running() for process in processes)


SCRIPT = """
import sys
from functools import partial
from gpts_data.pipelines.worker_pool import open_worker_pool
with open_worker_pool(2, partial(exec, "")) as pool:
    processes = pool.map(eval, ["__import__('os').getpid()"] * 2 + ["__import__('time').sleep(600)"] * 2)
    print(next(processes), next(processes), flush=True)
    next(processes)
"""


@pytest.fixture
def script(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A script without a main guard whose two workers hang, these workers, and the process that forked them."""
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "tmp").mkdir()
    own = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
    command = [sys.executable, "script.py"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        encoding="utf-8",
    )
    assert process.stdout
    workers = [psutil.Process(pid) for pid in {int(pid) for pid in process.stdout.readline().split()}]
    yield process, [*workers, psutil.Process(workers[0].ppid())]
    process.kill()
    process.communicate()


def test_workers_end_when_their_parent_is_killed(
    script: tuple[subprocess.Popen[str], list[psutil.Process]], tmp_path: Path
) -> None:
    process, workers = script
    process.kill()
    assert not psutil.wait_procs(workers, timeout=100)[1]
    assert not list((tmp_path / "tmp").iterdir())


def test_ctrl_c_ends_a_script_whose_worker_is_stopped(
    script: tuple[subprocess.Popen[str], list[psutil.Process]], tmp_path: Path
) -> None:
    process, workers = script
    workers[0].suspend()
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert time.monotonic() - began < 60, "with dask's cluster it took 116 s"
    assert said.count("KeyboardInterrupt") == 1 and said.count("Traceback") == 1, said
    assert not psutil.wait_procs(workers, timeout=100)[1]
    assert not list((tmp_path / "tmp").iterdir())

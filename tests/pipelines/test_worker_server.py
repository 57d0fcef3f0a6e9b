"""The process that forks workers: what they share, and what happens when it is killed, stopped or cannot fork."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from gpts_data.pipelines import worker_server
from gpts_data.pipelines.worker_pool import WorkerPool, open_worker_pool
from gpts_data.pipelines.worker_server import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="workers are forked on Linux only")

# The tasks and warm-ups are builtins, since the server and its workers do not load the tests.
WARM_UP = partial(exec, "import os, pyarrow; pyarrow.array([1]); os.environ['WARM'] = str(os.getpid())")
START_THREAD = partial(exec, "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()")
FAIL = partial(exec, "1/0")
PARENT = "__import__('os').getppid()"
WARMED = "__import__('os').environ.get('WARM')"
PROCESS = "__import__('os').getpid()"
NAP = "__import__('time').sleep(0.05)"


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    with open_worker_pool(2, WARM_UP) as opened:
        yield opened


def test_workers_are_copies_of_the_process_that_was_warmed_up(pool: WorkerPool) -> None:
    (server,) = set(pool.map(eval, [PARENT] * 4))
    assert server != os.getpid()
    assert set(pool.map(eval, [WARMED] * 4)) == {str(server)}


def test_workers_do_not_load_pandas(pool: WorkerPool) -> None:
    assert list(pool.map(eval, ["{'pyarrow', 'pandas'} & __import__('sys').modules.keys()"])) == [{"pyarrow"}]


def test_a_worker_has_its_own_pipe_and_no_other(pool: WorkerPool) -> None:
    """With a copy of another's pipe or the server's it would not see that this process has ended."""
    list(pool.map(eval, [NAP] * 4))  # so that both workers run
    (server,) = set(pool.map(eval, [PARENT]))
    processes = [server, *(child.pid for child in psutil.Process(server).children())]
    sockets = [socket for process in processes for socket in sockets_of(process)]
    assert len(processes) == len(sockets) == len(set(sockets)) == 3


def sockets_of(process: int) -> list[str]:
    links = (os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir())
    return [link for link in links if link.startswith("socket:")]


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_when_the_server_is_killed_or_stopped_its_workers_go_on_and_others_start_without_it(
    pool: WorkerPool, blow: signal.Signals, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker_server, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(worker_server, "STOPPED_POLLS", 2)
    (server,), workers = set(pool.map(eval, [PARENT] * 4)), set(pool.map(eval, [PROCESS] * 4))
    os.kill(server, blow)
    assert set(pool.map(eval, [PROCESS] * 4)) <= workers
    assert not caplog.records
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    assert set(pool.map(eval, [PARENT] * 4)) == {os.getpid()}
    messages = [record.getMessage() for record in caplog.records]  # also of tasks that were sent to dying workers
    assert messages.count(f"the process {server} that starts workers does not answer; they start without it") == 1


def test_a_server_in_which_a_thread_runs_forks_nothing() -> None:
    with open_worker_pool(2, START_THREAD) as pool:
        assert set(pool.map(eval, [PARENT] * 4)) == {os.getpid()}


def test_a_warm_up_that_fails_is_left_to_the_tasks() -> None:
    with open_worker_pool(1, FAIL) as pool, pytest.raises(ZeroDivisionError):
        list(pool.map(eval, ["1/0"]))


def test_a_closed_pool_leaves_no_process(pool: WorkerPool, tmp_path: Path) -> None:
    (server,) = set(pool.map(eval, [PARENT] * 2))
    tree = [psutil.Process(server), *psutil.Process(server).children()]
    os.kill(server, signal.SIGSTOP)
    pool.close()
    assert not psutil.wait_procs(tree, timeout=100)[1]

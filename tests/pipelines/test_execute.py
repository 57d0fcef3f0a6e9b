"""Tasks give the same results wherever they run, and their errors arrive as they were raised."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, LocalCluster

from gpts_data.pipelines import execute
from gpts_data.pipelines.environment import environment
from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError, UsageError
from gpts_data.pipelines.execute import Engine, open_engine
from gpts_data.pipelines.filters.cleaner import CleanConfig, check_clean
from gpts_data.pipelines.readers.reader import open_file
from gpts_data.pipelines.readers.source import SourceFile
from gpts_data.pipelines.storage.atomic_files import json_digest
from tests.support.cluster import OTHER_PYTHON, WITHOUT_PACKAGE, cluster

# Tasks are functions of the package and builtins, since a worker cannot import the tests.
TASKS = [{"number": n, "text": "é" * n} for n in range(40)]
PROCESS = "__import__('os').getpid()"


@pytest.fixture(scope="module")
def local() -> Iterator[LocalCluster]:
    with LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        yield cluster


@pytest.fixture(scope="module", params=["in process", "two workers", "a running cluster"])
def engine(request: pytest.FixtureRequest, local: LocalCluster) -> Iterator[Engine]:
    options: dict[str, dict[str, Any]] = {
        "in process": {},
        "two workers": {"workers": 2},
        "a running cluster": {"scheduler": local.scheduler_address},
    }
    with open_engine(**options[request.param]) as engine:
        yield engine


def test_results_are_the_same(engine: Engine) -> None:
    assert sorted(engine.map(json_digest, TASKS)) == sorted(map(json_digest, TASKS))


def test_equal_tasks_have_a_result_each(engine: Engine) -> None:
    assert list(engine.map(json_digest, [TASKS[3]] * 5)) == [json_digest(TASKS[3])] * 5


def test_no_tasks_have_no_results(engine: Engine) -> None:
    assert list(engine.map(json_digest, [])) == []


def test_a_cluster_gets_a_bounded_number_of_tasks(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "MAX_SUBMITTED", 3)
    submitted: list[int] = []

    def tasks() -> Iterator[int]:
        for number in range(20):
            submitted.append(number)
            yield number

    with open_engine(scheduler=local.scheduler_address) as engine:
        results = []
        for result in engine.map(json_digest, tasks()):
            results.append(result)
            assert len(submitted) <= len(results) + 3
    assert sorted(results) == sorted(map(json_digest, range(20)))


def test_an_error_of_ours_arrives_as_itself(engine: Engine) -> None:
    with pytest.raises(RecipeError, match="no filter is called 'nope'") as raised:
        list(engine.map(check_clean, [CleanConfig(), CleanConfig(("nope",))]))
    assert type(raised.value) is RecipeError
    with pytest.raises(DataError, match=r"^/nowhere/a\.parquet: found no file, expected 7 bytes"):
        list(engine.map(open_file, [SourceFile("a.parquet", "/nowhere/a.parquet", 7, None)]))


def test_any_other_error_arrives_too(engine: Engine) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        list(engine.map(json_digest, [1, float("nan")]))


def test_after_an_error_the_engine_goes_on(engine: Engine) -> None:
    with pytest.raises(RecipeError):
        list(engine.map(check_clean, [CleanConfig(("nope",))] * 20))
    assert list(engine.map(json_digest, TASKS[:1])) == [json_digest(TASKS[0])]


def test_one_worker_is_this_process_and_more_are_others() -> None:
    with open_engine() as engine:
        assert list(engine.map(eval, [PROCESS])) == [os.getpid()]
    with open_engine(workers=2) as engine:
        assert os.getpid() not in engine.map(eval, [PROCESS] * 4)


SAY = "__import__('logging').getLogger('gpts_data').warning('%s waits', 'a task')"


@pytest.mark.parametrize("workers", [1, 2])
def test_log_messages_of_tasks_are_forwarded(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "gpts_data"), open_engine(workers) as engine:
        assert list(engine.map(eval, [SAY, SAY])) == [None, None]
        deadline = time.monotonic() + 240
        while len(caplog.records) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
    assert [record.getMessage() for record in caplog.records] == ["a task waits"] * 2


NAP = "__import__('time').sleep(0.1)"


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_dies_or_freezes_costs_its_task_and_no_more(tmp_path: Path, blow: signal.Signals) -> None:
    impatient = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1s"}
    with cluster(tmp_path / "cluster", impatient) as running, open_engine(scheduler=running.address) as engine:
        results = engine.map(eval, [NAP] * 40)
        next(results)
        (process,) = running.children(0)
        os.kill(process, blow)
        assert sum(1 for _ in results) == 39


def test_a_worker_frozen_from_the_start_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(execute, "ANSWER", 0.5)
    patient = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "8s"}  # else it may be given up before it is asked
    with cluster(tmp_path / "cluster", patient) as running:
        with Client(running.address) as client:
            client.wait_for_workers(2)
        with open_engine(scheduler=running.address) as engine:
            assert sorted(engine.map(abs, [-1, -2])) == [1, 2]
        os.kill(running.children(0)[0], signal.SIGSTOP)
        with open_engine(scheduler=running.address) as engine:
            assert "not all dask workers answer" in caplog.text
            assert sorted(engine.map(abs, [-1, -2, -3])) == [1, 2, 3]


def test_a_lost_scheduler_is_reported_at_once(tmp_path: Path) -> None:
    with (
        cluster(tmp_path / "cluster", {}, workers=1) as running,
        pytest.raises(SourceUnavailableError, match=f"{running.address} was lost.*finished work is kept"),
        open_engine(scheduler=running.address) as engine,
    ):
        for _ in engine.map(eval, [NAP] * 40):
            running.scheduler.kill()


@pytest.mark.parametrize(
    ("program", "refusal"),
    [(WITHOUT_PACKAGE, "has no gpts-data; install"), (OTHER_PYTHON, r"may make other bytes: python 3\.9 there")],
    ids=["without the package", "another Python"],
)
def test_a_worker_that_would_answer_no_task_is_refused(tmp_path: Path, program: str, refusal: str) -> None:
    """Dask drops such a worker, or the worker the task, when a task of ours arrives: it would wait for ever."""
    with cluster(tmp_path / "cluster", {}, workers=1, program=program) as running:
        with Client(running.address) as client:
            client.wait_for_workers(1)
        with pytest.raises(UsageError, match=refusal), open_engine(scheduler=running.address):
            pass


def test_a_cluster_without_workers_is_named_again_and_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(execute, "POLL_SECONDS", 0.1)
    with LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as empty:

        def start_one(_: object) -> bool:
            if len(caplog.records) == 2:  # one when the engine opens, one while a task waits
                empty.scale(1)
            return True

        monkeypatch.setattr(caplog.handler, "filter", start_one)
        with open_engine(scheduler=empty.scheduler_address) as engine:
            assert list(engine.map(abs, [-1])) == [1]
    assert f"no worker at {empty.scheduler_address}; waiting for one: dask worker" in caplog.text


def test_a_worker_of_another_environment_is_refused(local: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    here = {**environment(), "numpy": "1.0", "gpts-data's code": "f" * 64}
    monkeypatch.setattr(execute, "environment", lambda: here)
    with (
        pytest.raises(UsageError, match=r"gpts-data's code \w{16} there, f{16} here; numpy \S+ there, 1.0 here"),
        open_engine(scheduler=local.scheduler_address),
    ):
        pass


def test_a_worker_that_comes_late_is_refused_with_its_first_task(
    local: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_engine(scheduler=local.scheduler_address) as engine:
        monkeypatch.setattr(execute, "environment", lambda: {**environment(), "numpy": "1.0"})
        with pytest.raises(UsageError, match="may make other bytes: numpy"):
            list(engine.map(abs, [-1]))


def test_an_error_that_is_not_ours_names_the_task(local: LocalCluster) -> None:
    with open_engine(scheduler=local.scheduler_address) as engine, pytest.raises(ZeroDivisionError) as raised:
        list(engine.map(eval, ["1/0"]))
    assert raised.value.__notes__ == ["while a worker ran 1/0"]


def test_a_worker_that_does_not_see_the_folder_is_refused(local: LocalCluster, tmp_path: Path) -> None:
    address = local.scheduler_address
    (tmp_path / "plan.json").write_text("{}", encoding="utf-8")
    with open_engine(scheduler=address, shared=tmp_path / "plan.json") as engine:
        assert list(engine.map(abs, [-1])) == [1]
    with (
        pytest.raises(UsageError, match=r"does not see .*other\.json; all workers.*object store"),
        open_engine(scheduler=address, shared=tmp_path / "other.json"),
    ):
        pass


def test_a_cluster_that_does_not_answer_is_not_an_error_of_a_disk() -> None:
    class Future:
        def result(self) -> None:
            raise TimeoutError

    engine = execute.Dask.__new__(execute.Dask)
    engine._address = "tcp://host:8786"
    with pytest.raises(SourceUnavailableError, match=r"unit a: the dask cluster at tcp://host:8786 did not answer in"):
        engine._result(Future(), "unit a")

"""Tasks that read and write a store run at the same time, as many as have room; on disk one after the other."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.storage import side_by_side
from gpts_data.pipelines.storage.paths import CONCURRENT_READS, as_path
from gpts_data.pipelines.storage.side_by_side import MEMORY_BYTES, StoppedError, processor, run_side_by_side

STORE = as_path("memory://bucket/mix")
MEETING = 60.0  # seconds after which a task that should have met another one fails


@dataclass(frozen=True)
class Task:
    number: int
    memory_bytes: int = 1


def test_results_are_in_order_and_tasks_run_at_the_same_time() -> None:
    meeting = threading.Barrier(CONCURRENT_READS)

    def meet(task: Task) -> int:
        meeting.wait(MEETING)
        return task.number

    numbers = range(2 * CONCURRENT_READS)
    assert list(run_side_by_side(meet, map(Task, numbers), STORE)) == list(numbers)


def test_tasks_that_run_at_the_same_time_have_room_together() -> None:
    has_begun = [threading.Event() for _ in range(3)]

    def begin(task: Task) -> bool:
        has_begun[task.number].set()
        return task.number == 0 and has_begun[1].wait(MEETING) and has_begun[2].wait(0.2)

    halves = [Task(n, MEMORY_BYTES // 2) for n in range(3)]
    assert not next(run_side_by_side(begin, halves, STORE)), "the third one began beside the first two"
    assert list(run_side_by_side(begin, [Task(1, 2 * MEMORY_BYTES), Task(2)], STORE)) == [False, False]


@pytest.mark.parametrize("folder", [None, Path("mix"), STORE])
def test_others_run_in_this_thread_when_their_result_is_wanted(folder: Path | None) -> None:
    started: list[str] = []
    tasks = ["a", "b"] if folder == STORE else [Task(1), Task(2)]
    threads = run_side_by_side(lambda task: started.append(task) or threading.get_ident(), tasks, folder)
    assert next(threads) == threading.get_ident() and len(started) == 1
    assert list(threads) == [threading.get_ident()]


def test_an_error_is_raised_as_it_is_and_the_tasks_that_run_are_finished() -> None:
    meeting, finished = threading.Barrier(3), []

    def fail(task: Task) -> None:
        meeting.wait(MEETING)
        if task.number == 1:
            raise DataError("unit 1 is damaged")
        finished.append(task.number)

    with pytest.raises(DataError, match="unit 1 is damaged"):
        list(run_side_by_side(fail, map(Task, range(3)), STORE))
    assert sorted(finished) == [0, 2]


def test_one_task_computes_at_a_time() -> None:
    meeting, computing = threading.Barrier(CONCURRENT_READS), threading.Lock()

    def compute(_: Task) -> bool:
        meeting.wait(MEETING)
        with processor():
            is_alone = computing.acquire(blocking=False)
            time.sleep(0.002)  # another one would come meanwhile
            computing.release()
        return is_alone

    assert all(run_side_by_side(compute, map(Task, range(CONCURRENT_READS)), STORE))


def test_a_task_that_computes_ends_when_its_result_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error or Ctrl-C, the tasks that wait for the processor would take seconds each."""
    results = run_side_by_side(lambda task: side_by_side._thread.run, [Task(0), Task(1)], STORE)
    run = next(results)
    monkeypatch.setattr(side_by_side._thread, "run", run, raising=False)
    with processor() as check:
        check()
        results.close()
        with pytest.raises(StoppedError):
            check()

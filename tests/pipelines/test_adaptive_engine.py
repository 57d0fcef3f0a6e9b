"""`--workers auto`: which stages run in worker processes, and how many there are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpts_data.pipelines import adaptive_engine
from gpts_data.pipelines.adaptive_engine import MIN_TEXT_BYTES, choose_workers
from gpts_data.pipelines.execute import AUTO, open_engine
from gpts_data.pipelines.machine import Memory


@dataclass(frozen=True)
class Unit:
    text_bytes: int


@dataclass(frozen=True)
class Reads:
    unit: Unit


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 4 processors and memory for 3 workers."""
    memory = Memory(3 * adaptive_engine.MEMORY_BYTES_PER_WORKER, "machine")
    monkeypatch.setattr(adaptive_engine, "available_processors", lambda: 4)
    monkeypatch.setattr(adaptive_engine, "available_memory", lambda: memory)


@pytest.mark.parametrize(
    ("text_bytes", "tasks", "workers"),
    [
        (0, 100, 1),
        (MIN_TEXT_BYTES - 1, 100, 1),
        (10**10, 100, 3),  # memory
        (10**10, 2, 2),
        (10**10, 0, 1),
    ],
)
def test_workers_by_size_and_machine(machine: None, text_bytes: int, tasks: int, workers: int) -> None:
    assert choose_workers(text_bytes, tasks) == workers


def test_one_worker_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptive_engine, "available_processors", lambda: 16)
    monkeypatch.setattr(adaptive_engine, "available_memory", lambda: Memory(10**12, "machine"))
    assert choose_workers(10**10, 1000) == 16


class _Pool:
    def __init__(self) -> None:
        self.maps = 0

    def map(self, function: object, tasks: object) -> Iterator[int]:
        self.maps += 1
        return iter([-1])


def test_workers_start_with_the_first_large_stage_and_stay(machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, sizes = _Pool(), []

    @contextmanager
    def opened(size: int, warm_up: object) -> Iterator[_Pool]:
        sizes.append(size)
        assert warm_up is hash
        yield pool

    monkeypatch.setattr(adaptive_engine, "open_worker_pool", opened)
    large = [Reads(Unit(MIN_TEXT_BYTES))] * 2
    with open_engine(AUTO, warm_up=hash) as engine:
        assert list(engine.map(abs, [-5, -6])) == [5, 6]
        assert not sizes
        assert list(engine.map(hash, large)) == [-1]
        assert list(engine.map(abs, [-5, -6])) == [-1]
        assert list(engine.map(abs, [-5])) == [5]
    assert sizes == [2]
    assert pool.maps == 2


def test_a_small_job_runs_in_this_process(tmp_path: Path) -> None:
    with open_engine(AUTO) as engine:
        assert list(engine.map(pid, [1, 2])) == [os.getpid()] * 2


def pid(_: int) -> int:
    return os.getpid()

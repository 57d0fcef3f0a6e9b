"""One proxy run as a task: train on a virtual mixture, measure at three horizons, write a receipt.

A task depends on nothing but its values and the files of the pool and the targets, so tasks can run in any process and
twice. On a CPU their results are the same to the bit for any number of processes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.atomic_files import write_npy
from gpts_data.pipelines.storage.paths import load_npy
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.tokenizer.artifact import token_dtype
from gpts_data.tokenizer.byte_lengths import bytes_per_id
from gpts_data.validation.model.model import GPTSConfig
from gpts_data.validation.search.design import ProxyRun
from gpts_data.validation.search.proxies.mixture_order import mixture_order
from gpts_data.validation.search.proxies.model import Proxy, RunLength, one_thread
from gpts_data.validation.search.proxies.pool import Pool, leading
from gpts_data.validation.search.proxies.targets import Rows

Report = Callable[[int], object]
"""Called with the tokens of each step that was computed."""


class RunReceipt(TypedDict):
    """Receipt of one run."""

    key: str
    weights: list[float]
    bits_per_byte: list[list[float]]
    """At each horizon, of each target."""


@dataclass(frozen=True)
class ProxySetup:
    """The values that all runs of a search have in common."""

    pool: Pool
    targets: Path
    """Folder of the targets' rows."""
    target_names: tuple[str, ...]
    tokenizer: Path
    eos_id: int
    config: GPTSConfig
    tokens: int
    """Tokens of the mix that the weights are searched for."""
    device: str
    own_gpu: bool
    """Whether this process takes a GPU that no other process of the search has."""


@dataclass(frozen=True)
class ProxyTask:
    """One task: train a run and write its receipt."""

    setup: ProxySetup
    run: ProxyRun
    length: RunLength
    receipt: Path
    key: str

    @property
    def name(self) -> str:
        """For messages."""
        return f"run {self.run.name}"

    def read(self) -> RunReceipt | None:
        """The receipt, if the run is finished."""
        return read_receipt(self.receipt, self.key, RunReceipt)

    @property
    def trained_tokens(self) -> int:
        """Tokens that the run computes, those of its decays included."""
        return self.length.trained_steps * self.length.batch * self.setup.pool.window


def save_rows(folder: Path, number: int, rows: Rows) -> None:
    """Write the rows of a target."""
    write_npy(folder / f"{number:02}.ids.npy", rows.ids)
    write_npy(folder / f"{number:02}.counted.npy", rows.counted)


def load_rows(folder: Path, number: int) -> Rows:
    """The rows of a target that `save_rows` wrote."""
    return Rows(*(np.array(load_npy(folder / f"{number:02}.{part}.npy")) for part in ("ids", "counted")))


def train_run(task: ProxyTask, report: Report = lambda _: None) -> RunReceipt:
    """Train and measure a run, and write its receipt; a finished one is only read."""
    if receipt := task.read():
        return receipt
    bench = _bench(task.setup)
    with one_thread(bench.proxy.device):
        losses = bench.train(task, report)
    return write_receipt(task.receipt, RunReceipt(key=task.key, weights=list(task.run.weights), bits_per_byte=losses))


def tokens_per_second(setup: ProxySetup, length: RunLength, steps: int = 3) -> float:
    """The speed of training in this process, from a few steps after a first one."""
    bench = _bench(setup)
    with one_thread(bench.proxy.device):
        return bench.speed(length, steps)


class _Bench:
    """The proxy model, the pool and the targets, loaded once per process."""

    def __init__(self, setup: ProxySetup) -> None:
        self.setup = setup
        device = _own_gpu() if setup.own_gpu else torch.device(setup.device)
        self.proxy = Proxy(setup.config, device)
        # torch has few operations on unsigned ids: the same bits as signed ones; the sign is taken off after the copy
        self._is_short = token_dtype(setup.config.vocab_size).itemsize == 2
        dtype = np.int16 if self._is_short else np.int32
        windows = np.memmap(setup.pool.file, dtype, mode="c").reshape(-1, setup.pool.window)
        self._windows = torch.from_numpy(windows).to(device)
        self._targets = [load_rows(setup.targets, i) for i in range(len(setup.target_names))]
        self._id_bytes = bytes_per_id(setup.tokenizer, setup.config.vocab_size, setup.eos_id)

    def train(self, task: ProxyTask, report: Report) -> list[list[float]]:
        """Bits per byte at each horizon, of each target."""
        length, rows = task.length, torch.from_numpy(_order(task)).to(self.proxy.device)
        self.proxy.reset(task.run.seed)
        losses = []
        step = 0
        for start, end in length.horizons:
            self._steps(range(step, start), end, length, rows, report)
            with self.proxy.branch():
                self._steps(range(start, end), end, length, rows, report)
                losses.append([self.proxy.bits_per_byte(target, self._id_bytes) for target in self._targets])
            step = start
        return losses

    def _steps(self, steps: range, end: int, length: RunLength, rows: Tensor, report: Report) -> None:
        for step in steps:
            batch = rows[step * length.batch : (step + 1) * length.batch]
            self.proxy.step(self._batch(batch), length.rate(step, end))
            report(length.batch * self.setup.pool.window)

    def _batch(self, rows: Tensor) -> Tensor:
        ids = self._windows[rows].long()
        return ids & 0xFFFF if self._is_short else ids

    def speed(self, length: RunLength, steps: int) -> float:
        """Tokens per second of `steps` steps after a first one, on windows of the pool."""
        rows = torch.arange(length.batch, device=self.proxy.device) % len(self._windows)
        began = 0.0
        for step in range(steps + 1):
            self.proxy.step(self._batch(rows), 0.0)
            if step == 0:
                _wait(self.proxy.device)
                began = time.perf_counter()
        _wait(self.proxy.device)
        return steps * length.batch * self.setup.pool.window / (time.perf_counter() - began)


@lru_cache(maxsize=1)
def _bench(setup: ProxySetup) -> _Bench:
    return _Bench(setup)


def _order(task: ProxyTask) -> NDArray[np.int64]:
    """The row of the pool at each position of a run."""
    pool, windows = task.setup.pool, task.length.windows
    parts = [leading(supply, pool.window, windows * pool.window, task.setup.tokens) for supply in pool.supply]
    available = [max(min(part, held), 1) for part, held in zip(parts, pool.windows, strict=True)]
    return mixture_order(
        task.run.weights, windows, names=pool.names, available=available, starts=pool.starts, seed=task.run.seed
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@lru_cache(maxsize=1)
def _own_gpu() -> torch.device:
    """A GPU that no other worker of this search has. It is taken until this process ends."""
    for number in range(torch.cuda.device_count()):
        try:  # the workers of a pool have one temporary folder
            _LOCKS.append(FileLock(Path(tempfile.gettempdir()) / f"gpu-{number}.lock", timeout=0).acquire())
        except Timeout:
            continue
        return torch.device("cuda", number)
    raise UsageError(f"more --workers than GPUs, of which this machine has {torch.cuda.device_count()}")


_LOCKS: list[Any] = []  # a lock is released when nothing holds it

"""All runs of a search: in this process or in several, with an estimate before and progress meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from gpts_data.mixer.quantities import format_duration
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.execute import InProcess, open_engine
from gpts_data.pipelines.machine import available_processors
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.receipts import require_receipt
from gpts_data.validation.search.proxies.runs import ProxyTask, RunReceipt, load_rows, tokens_per_second, train_run

log = logging.getLogger("gpts_data")


def train_all(tasks: Sequence[ProxyTask], workers: int, stage: str, progress: Progress) -> NDArray[np.float64]:
    """Train the runs that have no receipt yet. Returns bits per byte, shape (horizons, runs, targets)."""
    missing = [task for task in tasks if task.read() is None]
    if missing:
        workers = min(workers, len(missing))
        _log_estimate(tasks, missing, workers)
        _train(missing, workers, stage, progress)
    receipts = [require_receipt(task.receipt, task.key, RunReceipt) for task in tasks]
    return np.array([receipt["bits_per_byte"] for receipt in receipts], np.float64).swapaxes(0, 1)


def worker_count(workers: int | None, device: str) -> int:
    """The processes of a search: by default one for each GPU or, on a CPU, for each core that this process may use.

    Raises `UsageError` for more processes than GPUs.
    """
    if device != "cuda":
        return workers or available_processors()
    gpus = torch.cuda.device_count()
    if workers and workers > gpus:
        raise UsageError(f"--workers {workers}: this machine has {gpus} GPUs, and each process needs its own")
    return workers or gpus


def _train(tasks: Sequence[ProxyTask], workers: int, stage: str, progress: Progress) -> None:
    total, done = sum(task.trained_tokens for task in tasks), 0

    def report(tokens: int, note: str) -> None:
        nonlocal done
        done += tokens
        progress(stage, "", done, total, f"{note} of {len(tasks)}")

    with open_engine(workers) as engine:
        if isinstance(engine, InProcess):
            for number, task in enumerate(tasks, 1):
                train_run(task, partial(report, note=f"run {number}"))
        else:
            log.info("starting %d processes; each loads torch and the windows first", workers)
            for finished, _ in enumerate(engine.map(train_run, tasks), 1):
                report(tasks[0].trained_tokens, f"finished {finished}")  # all have the same length


def _log_estimate(tasks: Sequence[ProxyTask], missing: Sequence[ProxyTask], workers: int) -> None:
    """Say how long the runs will take, from the speed of a few steps."""
    task = missing[0]
    setup = task.setup
    speed = tokens_per_second(setup, task.length) * workers
    tokens = sum(task.trained_tokens for task in missing)
    targets = [load_rows(setup.targets, i).ids.size for i in range(len(setup.target_names))]
    measured = sum(targets) * len(task.length.horizons) * len(missing)
    finished = f"; {len(tasks) - len(missing)} of {len(tasks)} runs are finished" if len(missing) < len(tasks) else ""
    log.info(
        "%d runs of %s tokens, in all %s with their decays, on %s at %s tokens/s: about %s%s%s",
        len(missing),
        f"{task.length.windows * setup.pool.window:,}",
        f"{tokens:,}",
        f"{workers} GPU{'s' * (workers > 1)}" if setup.device == "cuda" else f"{workers} process{'es' * (workers > 1)}",
        f"{speed:,.0f}",
        format_duration((tokens + measured / 3) / speed),  # measuring is the forward pass alone, a third of a step
        " without the start of the processes" if workers > 1 else "",
        finished,
    )

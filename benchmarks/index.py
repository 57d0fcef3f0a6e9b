"""Memory and time of the dedup stage at millions of documents, from keys made up.

    python -m benchmarks.index [--documents 1M --documents 4M --documents 16M] [--columns 17] [--workers 1]

Units of 13,000 documents with --columns keys each: 85% random, 10% with all keys of an earlier document, 5% with one of
its bands. Each size in a fresh process that writes the runs, partitions them, searches the ranges (itself, or by
workers) and walks over the documents as a build does. Bytes are the growth of the peak over what the process had
before, of a worker over what it had before the task that took the most; "own" are those that are not pages of mapped
files, which the system takes back when it needs memory. Disk: (12 + 16 + 12) bytes a key at most.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from gpts_data.cli.options import Quantity
from gpts_data.pipelines.execute import Engine

UNIT = 13_000


@click.command()
@click.option("--documents", type=Quantity(), multiple=True, default=["1M", "4M", "16M"], show_default=True)
@click.option("--columns", default=17, show_default=True, help="Keys of a document.")
@click.option("--workers", type=int, multiple=True, default=[1], show_default=True)
@click.option("--only", type=int, hidden=True)
def main(documents: tuple[int, ...], columns: int, workers: tuple[int, ...], only: int | None) -> None:
    if only:
        print(json.dumps(measure(only, columns, workers[0])))
        return
    print(
        "| documents | keys each | workers | ranges | write s | partition s | search s | walk s "
        "| peak MB: a task | walk | walk, bytes a document | own |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for n, count in itertools.product(documents, workers):
        command = [sys.executable, "-m", "benchmarks.index", f"--only={n}", f"--workers={count}"]
        done = subprocess.run([*command, f"--columns={columns}"], check=True, stdout=subprocess.PIPE)
        found = json.loads(done.stdout)
        seconds = " | ".join(f"{found[part]:.1f}" for part in ("write", "partition", "search", "walk"))
        memory = " | ".join(f"{found[part] / 1e6:.0f}" for part in ("task_bytes", "walk_bytes"))
        each = " | ".join(f"{found[part] / n:.1f}" for part in ("walk_bytes", "own_bytes"))
        print(f"| {n:,} | {columns} | {count} | {found['ranges']} | {seconds} | {memory} | {each} |", flush=True)


def measure(n: int, columns: int, workers: int) -> dict[str, float]:
    from benchmarks.index import Measured  # workers cannot load functions of __main__
    from gpts_data.mixer.stages.dedup_index import Index
    from gpts_data.mixer.stages.dedup_search import search_runs
    from gpts_data.pipelines.execute import open_engine

    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.perf_counter()
        runs, n_keys = write(n, columns, folder, rng)
        found: dict[str, float] = {"write": time.perf_counter() - began, "partition": 0.0}
        with open_engine(workers) as engine:
            measured = Measured(engine)
            keys = search_runs(runs, n_keys, folder / "index", measured)
        found |= measured.seconds | {"task_bytes": measured.task_bytes, "ranges": len(keys.paths)}
        before, own = reset_peak(), memory("RssAnon")
        began = time.perf_counter()
        own_peak = walk(Index(keys, len(runs), folder), n, columns, len(runs))
        found["walk"] = time.perf_counter() - began
        return found | {"walk_bytes": memory("VmHWM") - before, "own_bytes": own_peak - own}


class Measured:
    """An engine, with the seconds of each stage and the memory of the task that took the most."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.seconds: dict[str, float] = {}
        self.task_bytes = 0

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        began = time.perf_counter()
        for result, task_bytes in self._engine.map(partial(grown, function), tasks):
            self.task_bytes = max(self.task_bytes, task_bytes)
            yield result
        self.seconds[function.__name__] = time.perf_counter() - began


def grown(function: Callable[[Any], Any], task: Any) -> tuple[Any, int]:
    """Run a task; its result, and the bytes by which the peak of the process grew over what it had."""
    before = reset_peak()
    return function(task), memory("VmHWM") - before


def write(n: int, columns: int, folder: Path, rng: np.random.Generator) -> tuple[list[Path], list[int]]:
    from gpts_data.mixer.stages.dedup_index import run_writer

    runs: list[Path] = []
    first: NDArray[np.uint64] | None = None
    n_keys: list[int] = []
    for number in range(-(-n // UNIT)):
        keys = rng.integers(1, 2**64, (min(UNIT, n - number * UNIT), columns), dtype=np.uint64)
        if first is not None:
            earlier = rng.integers(0, len(first), len(keys))
            draw = rng.random(len(keys))
            keys[draw < 0.1] = first[earlier[draw < 0.1]]
            band = (draw >= 0.1) & (draw < 0.15)
            keys[band, 4] = first[earlier[band], 4]
        first = keys if number % 20 == 0 else first
        runs.append(folder / f"{number:05d}.keys.arrow")
        with run_writer(runs[-1], runs[-1].name) as run:
            for start in range(0, len(keys), 1000):
                run.add(keys[start : start + 1000])
        n_keys.append(run.n_keys)
    return runs, n_keys


def walk(index: Any, n: int, columns: int, n_units: int) -> int:
    """Judge all documents; returns the peak of the process's own memory, looked at after each unit."""
    from gpts_data.pipelines.dedup.greedy import DedupState

    kept, own = DedupState(index.n_groups, columns), 0
    codes = []  # what a build keeps of each document
    for number in range(n_units):
        size = min(UNIT, n - number * UNIT)
        nobody = np.zeros(size, dtype=np.bool_)
        verdicts = kept.decide(index.of(number), np.ones(size, np.uint32), nobody, nobody, n + 1)
        codes.append((verdicts.codes, verdicts.duplicate_of))
        own = max(own, memory("RssAnon"))
    return own


def reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # VmHWM begins anew at what is resident now
    return memory("VmHWM")


def memory(name: str) -> int:
    """A row of /proc/self/status, bytes."""
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()

"""Memory and time of the dedup stage at millions of documents, from keys made up.

    python -m benchmarks.index [--documents 1M --documents 4M --documents 16M] [--workers 1 --workers 2]

Units of 13,000 documents, 17 keys each: 85% random, 10% with all keys of an earlier document, 5% with one of its bands.
Each size in a fresh process that writes the runs, searches the ranges (itself, or by workers) and walks over the
documents as a build does; bytes are the growth of the peak over what the process had before, of a worker over what it
had before the range that took the most.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from gpts_data.cli.options import Quantity
from gpts_data.mixer.stages.dedup_index import KeyRange, search

UNIT = 13_000
COLUMNS = 17


@click.command()
@click.option("--documents", type=Quantity(), multiple=True, default=["1M", "4M", "16M"], show_default=True)
@click.option("--workers", type=int, multiple=True, default=[1, 2], show_default=True)
@click.option("--only", type=int, hidden=True)
def main(documents: tuple[int, ...], workers: tuple[int, ...], only: int | None) -> None:
    if only:
        print(json.dumps(measure(only, workers[0])))
        return
    print("| documents | workers | write s | search s | walk s | peak MB: a range | walk | walk, bytes a document |")
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    for n, count in itertools.product(documents, workers):
        command = [sys.executable, "-m", "benchmarks.index", f"--only={n}", f"--workers={count}"]
        found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        seconds = " | ".join(f"{found[part]:.1f}" for part in ("write", "search", "walk"))
        memory = " | ".join(f"{found[part] / 1e6:.0f}" for part in ("search_bytes", "walk_bytes"))
        print(f"| {n:,} | {count} | {seconds} | {memory} | {found['walk_bytes'] / n:.1f} |", flush=True)


def measure(n: int, workers: int) -> dict[str, float]:
    from benchmarks.index import grown  # workers cannot load functions of __main__
    from gpts_data.mixer.stages.dedup_index import Index, ranges
    from gpts_data.pipelines.execute import open_engine

    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        began = time.perf_counter()
        runs, n_keys = write(n, folder, rng)
        found: dict[str, float] = {"write": time.perf_counter() - began}
        with open_engine(workers) as engine:
            began = time.perf_counter()
            tasks = ranges(runs, n_keys, folder / "index")
            found["search_bytes"] = max(engine.map(grown, tasks))
            found["search"] = time.perf_counter() - began
        before = reset_peak()
        began = time.perf_counter()
        walk(Index(tasks, folder), n, len(runs))
        return found | {"walk": time.perf_counter() - began, "walk_bytes": peak() - before}


def grown(task: KeyRange) -> int:
    """Search a range; bytes by which the peak of the process grew over what it had."""
    before = reset_peak()
    search(task)
    return peak() - before


def write(n: int, folder: Path, rng: np.random.Generator) -> tuple[list[Path], int]:
    from gpts_data.mixer.stages.dedup_index import run_writer

    runs: list[Path] = []
    first: NDArray[np.uint64] | None = None
    n_keys = 0
    for number in range(-(-n // UNIT)):
        keys = rng.integers(1, 2**64, (min(UNIT, n - number * UNIT), COLUMNS), dtype=np.uint64)
        if first is not None:
            earlier = rng.integers(0, len(first), len(keys))
            draw = rng.random(len(keys))
            keys[draw < 0.1] = first[earlier[draw < 0.1]]
            band = (draw >= 0.1) & (draw < 0.15)
            keys[band, 5] = first[earlier[band], 5]
        first = keys if number % 20 == 0 else first
        runs.append(folder / f"{number:05d}.keys.arrow")
        with run_writer(runs[-1], runs[-1].name) as run:
            for start in range(0, len(keys), 1000):
                run.add(keys[start : start + 1000])
        n_keys += run.n_keys
    return runs, n_keys


def walk(index: object, n: int, n_units: int) -> None:
    from gpts_data.mixer.stages.dedup_index import Index
    from gpts_data.pipelines.dedup.greedy import DedupState

    assert isinstance(index, Index)
    kept = DedupState(index.n_groups, COLUMNS)
    codes = []  # what a build keeps of each document
    for number in range(n_units):
        size = min(UNIT, n - number * UNIT)
        nobody = np.zeros(size, dtype=np.bool_)
        verdicts = kept.decide(index.of(number), np.ones(size, np.uint32), nobody, nobody, n + 1)
        codes.append((verdicts.codes, verdicts.duplicate_of))


def reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # VmHWM begins anew at what is resident now
    return peak()


def peak() -> int:
    """VmHWM, bytes. Pages of mapped files count while they are in memory, though the system may take them back."""
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()

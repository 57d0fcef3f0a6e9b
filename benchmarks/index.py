"""Dedup's index: memory, seconds and disk over made-up documents, of 17 random keys each.

    python -m benchmarks.index [--documents 1000000 --documents 10000000] [--range-keys 4000000 --range-keys 500000]

10 % of the documents have all keys of an earlier one, 5 % one band of an earlier one. Their runs are written unit by
unit, then searched range by range and walked over as mixer/decide.py does, each in a process of its own. MB are those
that the process takes beyond what it had before (Python, numba, Arrow and the compiled loop in it): `peak` all that is
resident, of which pages of mapped files can be dropped at any time; `own` without those.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer import index as indexing
from gpts_data.mixer.index import Index, ranges, run_writer, search
from gpts_data.pipelines.dedup import FIRST_DUPLICATE, Kept, decide

UNIT_DOCUMENTS, BATCH_DOCUMENTS, COLUMNS = 13_000, 1000, 17
COPIES, NEAR = 0.10, 0.05


def keys_of(documents: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The keys of documents by their number, as a function of nothing else: an earlier one's can be made again."""
    x = (documents.astype(np.uint64)[:, None] * np.uint64(COLUMNS) + np.arange(COLUMNS, dtype=np.uint64)) + np.uint64(1)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))


def unit_keys(start: int, stop: int) -> NDArray[np.uint64]:
    rng = np.random.default_rng(start)
    documents = np.arange(start, stop)
    earlier = (rng.random(len(documents)) * documents).astype(np.int64)
    kind = rng.random(len(documents))
    keys = keys_of(np.where(kind < COPIES, earlier, documents))
    near = (kind >= COPIES) & (kind < COPIES + NEAR)
    keys[near, -1] = keys_of(earlier[near])[:, -1]
    return keys


class Memory:
    """The most memory that this process has in the pieces since it began, looked at every 5 ms."""

    def __init__(self) -> None:
        self._before = _resident()
        self.peak = self.own = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            own, mapped = (now - then for now, then in zip(_resident(), self._before, strict=True))
            self.own, self.peak = max(self.own, own), max(self.peak, own + mapped)

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def _resident() -> tuple[int, int]:
    """Bytes of its own, and of mapped files."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped = (1024 * int(fields[name].split()[0]) for name in ("RssAnon", "RssFile"))
    return own, mapped


@contextmanager
def measured(part: dict[str, Any]) -> Iterator[None]:
    memory, began = Memory(), time.perf_counter()
    yield
    part["seconds"] = time.perf_counter() - began
    memory.close()
    part["peak"], part["own"] = memory.peak, memory.own


def write(n_documents: int, folder: Path) -> int:
    """The runs of all documents; returns how many keys they have."""
    n_keys = 0
    for number, start in enumerate(range(0, n_documents, UNIT_DOCUMENTS)):
        keys = unit_keys(start, min(start + UNIT_DOCUMENTS, n_documents))
        with run_writer(folder / f"{number:06d}.keys.arrow") as run:
            for row in range(0, len(keys), BATCH_DOCUMENTS):
                run.add(keys[row : row + BATCH_DOCUMENTS])
        n_keys += run.n_keys
    return n_keys


def walk(index: Index, n_documents: int) -> tuple[int, int]:
    """Judge all documents as mixer/decide.py does; returns how many are duplicates, and bytes of the verdicts."""
    kept = Kept(index.n_groups, COLUMNS)
    codes, twins = [], []
    for number, start in enumerate(range(0, n_documents, UNIT_DOCUMENTS)):
        n = min(UNIT_DOCUMENTS, n_documents - start)
        nobody = np.zeros(n, np.bool_)
        verdicts = kept.decide(index.of(number), np.ones(n, np.uint32), nobody, nobody, n_documents + 1)
        codes.append(verdicts.codes)
        twins.append(verdicts.twins)
    duplicates = sum(int((part >= FIRST_DUPLICATE).sum()) for part in codes)
    return duplicates, sum(part.nbytes for part in [*codes, *twins])


def warm() -> None:
    decide(np.ones((3, 4), np.uint64), np.ones(3, np.uint32), np.zeros(3, np.bool_), 9)


def stage(n_documents: int, n_keys: int, range_keys: int, folder: Path) -> dict[str, Any]:
    """The dedup of these runs, in this process."""
    indexing.RANGE_KEYS = range_keys
    warm()
    runs = sorted(folder.glob("*.keys.arrow"))
    found: dict[str, Any] = {"search": {}, "open": {}, "walk": {}}
    with measured(found["search"]):
        tasks = ranges(runs, n_keys, folder / "index")
        receipts = [search(task) for task in tasks]
    with measured(found["open"]):
        index = Index(tasks)
    with measured(found["walk"]):
        found["duplicates"], found["verdicts"] = walk(index, n_documents)
    found |= {"ranges": len(tasks), "groups": index.n_groups, "places": sum(r["places"] for r in receipts)}
    found["disk"] = sum(path.stat().st_size for path in folder.rglob("*.arrow"))
    shutil.rmtree(folder / "index")
    return found


@click.command()
@click.option("--documents", multiple=True, default=(1_000_000, 10_000_000))
@click.option("--range-keys", multiple=True, default=(4_000_000, 500_000))
@click.option("--child", nargs=4, type=str, hidden=True)
def main(documents: tuple[int, ...], range_keys: tuple[int, ...], child: tuple[str, ...] | None) -> None:
    """Print the table."""
    if child:
        click.echo(json.dumps(stage(int(child[0]), int(child[1]), int(child[2]), Path(child[3]))))
        return
    click.echo(
        "| documents | keys a range | ranges | MB disk | write | search: s, MB own / peak | walk: s, MB own / peak "
        "| of it owners | verdicts | duplicates |"
    )
    click.echo("|---:|---:|---:|---:|---:|---|---|---:|---:|---:|")
    for n_documents in documents:
        with tempfile.TemporaryDirectory() as place:
            began = time.perf_counter()
            n_keys = write(n_documents, Path(place))
            seconds = time.perf_counter() - began
            for size in range_keys:
                click.echo(row(n_documents, size, seconds, in_a_child(n_documents, n_keys, size, place)))


def in_a_child(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.index", "--child", *map(str, arguments)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def row(n_documents: int, range_keys: int, seconds: float, found: dict[str, Any]) -> str:
    parts = [
        f"{found[name]['seconds']:.1f} s, {found[name]['own'] / 1e6:.0f} / {found[name]['peak'] / 1e6:.0f}"
        for name in ("search", "walk")
    ]
    return (
        f"| {n_documents:,} | {range_keys:,} | {found['ranges']} | {found['disk'] / 1e6:,.0f} | {seconds:.1f} "
        f"| {' | '.join(parts)} | {4 * found['groups'] / 1e6:.0f} | {found['verdicts'] / 1e6:.0f} "
        f"| {found['duplicates']:,} |"
    )


if __name__ == "__main__":
    main()

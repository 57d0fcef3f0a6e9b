"""Reading speed: gpts-data against `datasets` streaming, the same columns of the same files, in one run.

    python -m benchmarks.reading [--rows 40000] [--rounds 3]

A hub on loopback, in a process of its own, serves parquet files as FineWeb-HQ has them: text, id, url, some small
columns, 768 floats of embeddings a row, 1,000 rows a group. Both sides get text, id and url and count their bytes;
`datasets` once as rows, as most people loop, once as Arrow batches. Each round runs every reader once in a fresh
process, imports left out and listing included; the best round counts. Local: the same files from disk.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import click

from tests.conftest import prose
from tests.support.datasets import write
from tests.support.hub import Hub

IMPORTS = """
import datasets
from pathlib import Path
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import Source
"""
OURS = """
source = Source("x", 1, id="id", url="url", **{where!r})
for file in list_files(source, Path("/")).files:
    for unit in split_units(source, file, 64_000_000):
        for batch in read(source, unit):
            n += batch.num_rows
            size += pc.sum(pc.binary_length(batch.column("text"))).as_py()
"""
ROWS = """
for row in datasets.load_dataset(**{where!r}, split="train", streaming=True, columns=["text", "id", "url"]):
    n += 1
    size += len(row["text"].encode())
"""
BATCHES = """
stream = datasets.load_dataset(**{where!r}, split="train", streaming=True, columns=["text", "id", "url"])
for table in stream.with_format("arrow").iter(1000):
    n += table.num_rows
    size += pc.sum(pc.binary_length(table.column("text"))).as_py()
"""
FRAME = """
import json, os, time
import pyarrow.compute as pc
{imports}
began = time.perf_counter()
n = size = 0
{body}
print(json.dumps([n, size, time.perf_counter() - began]), flush=True)
os._exit(0)  # `datasets` with Arrow batches may abort the process while it shuts down
"""


def make(folder: Path, n_rows: int, n_files: int = 4) -> None:
    """Files of `n_rows` in all; texts of some 3 kB, as FineWeb's."""
    rng = random.Random(0)
    pool = [prose(rng, 60) for _ in range(2000)]
    for part in range(n_files):
        n = n_rows // n_files
        columns = {
            "text": [" ".join(rng.choices(pool, k=rng.randint(2, 12))) for _ in range(n)],
            "id": [f"<urn:uuid:{part}-{i}>" for i in range(n)],
            "dump": ["CC-MAIN-2024-10"] * n,
            "url": [f"https://example.org/{part}/{i}" for i in range(n)],
        }
        write(folder / f"train-{part}.parquet", columns, width=768, group=1000)


def serve(root: str, heads: dict[str, str], pipe: multiprocessing.connection.Connection) -> None:
    with Hub(Path(root)) as hub:
        hub.heads = heads
        pipe.send(hub.url)
        pipe.recv()
        pipe.send(sum(hub.served.values()))


def measure(body: str, where: dict[str, object], env: dict[str, str]) -> tuple[int, int, float]:
    code = FRAME.format(imports=IMPORTS, body=body.format(where=where))
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    rows, size, seconds = json.loads(done.stdout.splitlines()[-1])
    return rows, size, seconds


def served_by(root: Path, heads: dict[str, str], home: Path, body: str, where: dict[str, object]) -> tuple[float, int]:
    """Seconds of one reader with a hub of its own, and the bytes the hub served."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(str(root), heads, theirs), daemon=True)
    process.start()
    hub = Hub(root)
    hub.url = ours.recv()
    _, _, seconds = measure(body, where, hub.env(home))
    ours.send("stop")
    served = ours.recv()
    process.join()
    return seconds, served


@click.command()
@click.option("--rows", default=40_000)
@click.option("--rounds", default=3)
def main(rows: int, rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        hub = Hub(root / "hub")
        files = hub.folder("acme/quality")
        make(files, rows)
        local = {"path": "parquet", "data_files": str(files / "*.parquet")}
        cases = {
            "hub, gpts-data": (OURS, {"dataset": "acme/quality"}),
            "hub, datasets, Arrow batches": (BATCHES, {"path": "acme/quality"}),
            "hub, datasets, rows": (ROWS, {"path": "acme/quality"}),
            "disk, gpts-data": (OURS, {"files": (str(files / "*.parquet"),)}),
            "disk, datasets, Arrow batches": (BATCHES, local),
            "disk, datasets, rows": (ROWS, local),
        }
        n, size, _ = measure(OURS, {"files": (str(files / "*.parquet"),)}, dict(os.environ))
        best: dict[str, tuple[float, int]] = {}
        for number in range(rounds):
            for name, (body, where) in cases.items():
                home = root / f"home-{number}-{len(best)}-{time.monotonic_ns()}"
                home.mkdir()
                found = served_by(root / "hub", hub.heads, home, body, where)
                best[name] = min(best.get(name, found), found)
        on_disk = sum(file.stat().st_size for file in files.glob("*.parquet"))
        show(n, size, on_disk, best)


def show(n: int, size: int, on_disk: int, best: dict[str, tuple[float, int]]) -> None:
    versions = ", ".join(f"{name} {version(name)}" for name in ("datasets", "huggingface_hub", "pyarrow"))
    print(f"{n:,} documents, {size / 1e6:.0f} MB of text, files of {on_disk / 1e6:.0f} MB")
    print(f"Python {platform.python_version()}, {versions}, {os.cpu_count()} cores")
    print(f"{'':32}{'seconds':>9}{'MB/s of text':>14}{'served MB':>11}{'ratio':>7}")
    for name, (seconds, served) in best.items():
        ours = best[f"{name.split(',')[0]}, gpts-data"][0]
        print(f"{name:32}{seconds:9.2f}{size / 1e6 / seconds:14.0f}{served / 1e6:11.1f}{seconds / ours:7.2f}")


if __name__ == "__main__":
    main()

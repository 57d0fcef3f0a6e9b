"""Growth of CUT, HOLD_OUT and ASSEMBLE: what a token costs when units and shards get more, from synthetic units.

    python -m benchmarks.scale --out FOLDER [--tokens 62500k --tokens 250M --tokens 1B] [--shrink 16]

Units as the preset's, at 55/30/15: random ids, documents of 1 to 20,000 tokens (log-normal, median 650), one in ten
dropped, one in 2,000 held out. Units and shards are `--shrink` times as small as the preset's, 18 million tokens and
131,072 windows, and so is the number of units beyond which cut files are merged. So 1B tokens make as many units and
shards as 16B, each shard reads as little from each cut file as in a mix of 256B, and what a file costs weighs 16 times
as much. Then the build's own tasks, one after the other, in a fresh process per size, digests and fsync included:

- on disk: processor time per token, and the peak of the process's own memory (RssAnon, read every 20 ms);
- in a store (an fsspec one that counts, on the same disk): requests, and bytes read, per token;
- the bytes of all tasks as they are sent to workers.

FOLDER takes 7 bytes a token and is emptied.
"""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import fsspec
import numpy as np
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from gpts_data.cli.options import open_recipe
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.quantities import parse_quantity
from gpts_data.mixer.stages import merge_cuts
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.unit_file import UNIT
from gpts_data.mixer.stages.write_mix import write_mix
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE, HELD_OUT, TRAIN
from gpts_data.pipelines.storage.paths import AnyPath, as_path

UNIT_TOKENS = 18_000_000
DROPPED, HELD = 0.1, 0.0005


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--tokens", multiple=True, default=("62500k", "250M", "1B"), show_default=True)
@click.option("--shrink", default=16, show_default=True, help="How many times smaller units and shards are.")
@click.option("--one", hidden=True, is_flag=True)
def main(out: Path, tokens: tuple[str, ...], shrink: int, one: bool) -> None:
    """Print one row a size."""
    if one:
        print(json.dumps(_measure(parse_quantity(tokens[0]), shrink, out)))
        return
    print(
        "| tokens | units | shards | CPU, ns a token: cut | validation | assemble | around them | own MB "
        "| task bytes a token | requests per unit: cut | validation | per shard: assemble | bytes read a token |"
    )
    for text in tokens:
        command = [sys.executable, "-m", "benchmarks.scale", "--one", "--out", str(out), "--tokens", text]
        done = subprocess.run([*command, f"--shrink={shrink}"], capture_output=True, text=True, check=True)
        print(f"| {text} | " + " | ".join(f"{value:,.4g}" for value in json.loads(done.stdout)) + " |", flush=True)


def _measure(tokens: int, shrink: int, out: Path) -> list[float]:
    recipe = open_recipe("gpt-s-5m", str(tokens))[0]
    recipe = replace(recipe, shard_windows=recipe.shard_windows // shrink)
    merge_cuts.MAX_FILES //= shrink
    plan = Plan(recipe, (), out / "mix", None)
    units = [_units(out / "units" / name, count * recipe.window, shrink) for name, count in _named(recipe)]
    watch = _Watch()
    on_disk = _Build(plan, units)
    memory = watch.stop()
    digests = _digests(out / "mix")
    shutil.rmtree(out / "mix")
    store = _counted(out)
    in_store = [
        [replace(unit, path=store / "units" / name / unit.path.name) for unit in some]
        for (name, _), some in zip(_named(recipe), units, strict=True)
    ]
    counted = _Build(replace(plan, folder=store / "mix"), in_store)
    assert _digests(out / "mix") == digests
    shutil.rmtree(out)
    n_units, made = sum(map(len, units)), sum(recipe.windows) * recipe.window
    return [
        n_units,
        counted.n_shards,
        *(on_disk.cpu[stage] / made * 1e9 for stage in ("cut_file", "hold_out", "assemble")),
        (on_disk.all_cpu - on_disk.cpu.total()) / made * 1e9,
        memory,
        sum(on_disk.task_bytes.values()) / made,
        counted.requests["cut_file"] / n_units,
        counted.requests["hold_out"] / n_units,
        counted.requests["assemble"] / counted.n_shards,
        sum(counted.bytes_read.values()) / made,
    ]


class _Build:
    """An engine that runs the tasks of a build in this process, and measures each stage."""

    def __init__(self, plan: Plan, units: list[list[DedupedUnit]]) -> None:
        self.cpu: Counter[str] = Counter()
        self.task_bytes: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self.bytes_read: Counter[str] = Counter()
        self.all_cpu = _cpu()
        self.n_shards = len(write_mix(plan, "scale", units, self, lambda *_: None).shards)
        self.all_cpu = _cpu() - self.all_cpu

    def map(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Any]:
        stage = function.__name__
        for task in tasks:
            self.task_bytes[stage] += len(pickle.dumps((function, task)))
            before, requests, bytes_read = _cpu(), Counted.requests, Counted.bytes_read
            result = function(task)
            self.cpu[stage] += _cpu() - before
            self.requests[stage] += Counted.requests - requests
            self.bytes_read[stage] += Counted.bytes_read - bytes_read
            yield result


class Counted(LocalFileSystem):
    """The local disk as a store that counts requests: one for each file opened, range read, listed, asked or put."""

    protocol = ("counted",)
    requests = bytes_read = 0

    def info(self, path: str, **kwargs: Any) -> Any:
        Counted.requests += 1
        return super().info(path, **kwargs)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        Counted.requests += 1
        with Path(self._strip_protocol(path)).open("rb") as file:
            file.seek(start or 0)
            content = file.read() if end is None else file.read(end - (start or 0))
        Counted.bytes_read += len(content)
        return content

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        if "r" in mode:
            Counted.requests += 1
            Counted.bytes_read += Path(self._strip_protocol(path)).stat().st_size
        return super().open(path, mode, **kwargs)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        Counted.requests += 1
        name = Path(self._strip_protocol(path))
        name.parent.mkdir(parents=True, exist_ok=True)
        if mode == "create" and name.exists():
            raise FileExistsError(path)
        name.write_bytes(value)

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        Counted.requests += 1
        Path(self._strip_protocol(rpath)).parent.mkdir(parents=True, exist_ok=True)
        super().put_file(lpath, rpath, **kwargs)


def _counted(folder: Path) -> AnyPath:
    """The folder as a path in a store that counts."""
    fsspec.register_implementation("counted", Counted, clobber=True)
    warnings.filterwarnings("ignore", "UPath 'counted'")
    return as_path(f"counted://{folder.absolute()}")


def _digests(mix: Path) -> dict[str, int]:
    """A hash of each file of the mix, without the work folder."""
    return {
        path.relative_to(mix).as_posix(): hash(path.read_bytes())
        for part in ("shards", "validation", "documents")
        for path in sorted((mix / part).rglob("*"))
        if path.is_file()
    }


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _named(recipe: Any) -> list[tuple[str, int]]:
    return list(zip(recipe.names, recipe.windows, strict=True))


def _units(folder: Path, needed: int, shrink: int) -> list[DedupedUnit]:
    """Unit files with as many surviving tokens as the source needs."""
    folder.mkdir(parents=True)
    rng, units, start, first = np.random.default_rng(len(str(folder.name))), list[DedupedUnit](), 0, 0
    pool = rng.integers(0, 4096, 4_000_000, dtype=np.uint16)
    while start < needed:
        lengths = np.clip(rng.lognormal(np.log(650), 0.9, UNIT_TOKENS // shrink // 970), 1, 20_000).astype(np.uint32)
        draw = rng.random(len(lengths))
        codes = np.where(draw < DROPPED, FIRST_DUPLICATE, np.where(draw > 1 - HELD, HELD_OUT, TRAIN)).astype(np.uint8)
        path = folder / f"{len(units):05d}.arrow"
        _write_unit(path, lengths, rng, pool)
        none = np.empty(0, np.uint32)
        tokens = int(lengths[codes == TRAIN].sum())
        units.append(DedupedUnit(path, path.stem, codes, start, tokens, none, first, none))
        start, first = units[-1].stop, first + len(codes)
    return units


def _write_unit(path: Path, lengths: np.ndarray, rng: np.random.Generator, pool: np.ndarray) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, UNIT) as writer:
        for first in range(0, len(lengths), 1000):
            some = lengths[first : first + 1000]
            names = [f"<urn:uuid:{first + i:032x}>" for i in range(len(some))]
            offsets = pa.array(np.concatenate([[0], np.cumsum(some)]).astype(np.int32))
            empty = pa.ListArray.from_arrays(pa.array([0] * (len(some) + 1), pa.int32()), pa.array([], pa.uint32()))
            begin = int(rng.integers(0, len(pool) // 2))
            columns = [
                pa.array(names),
                pa.array([f"https://example.org/{name}" for name in names]),
                pa.array(rng.integers(0, 2**63, len(some), dtype=np.uint64)),
                empty,
                pa.array(some),
                pa.ListArray.from_arrays(offsets, pa.array(pool[begin : begin + int(some.sum())])),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=UNIT))


class _Watch:
    """The peak of this process's own memory in MB, from now on."""

    def __init__(self) -> None:
        self._peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            status = Path("/proc/self/status").read_text(encoding="utf-8")
            self._peak = max(self._peak, int(status.split("RssAnon:")[1].split()[0]))

    def stop(self) -> float:
        self._done.set()
        self._thread.join()
        return self._peak / 1e3


if __name__ == "__main__":
    main()

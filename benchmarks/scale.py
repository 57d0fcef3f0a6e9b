"""Cut and assemble at size: tokens per second and memory of 1B and of 4B tokens, from synthetic units.

    python -m benchmarks.scale --out FOLDER [--tokens 1B --tokens 4B]

Units as the preset's: 55/30/15, some 18 million random ids each, documents of 1 to 20,000 tokens (log-normal, median
650), one in ten dropped. Then the build's own tasks, one after the other in a fresh process per size: every cut, every
shard, digests and fsync included. FOLDER takes three times the shards (2 bytes a token) and is emptied. Memory is the
process's own (RssAnon), read every 20 ms, and with the pages of mapped files beside it (the kernel's VmHWM).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pyarrow as pa

from gpts_data.cli.options import open_recipe
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.quantities import parse_quantity
from gpts_data.mixer.stages.assemble import assemble, shard_tasks
from gpts_data.mixer.stages.cut import cut, cut_tasks
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.unit_file import UNIT
from gpts_data.pipelines.dedup.greedy import FIRST_DUPLICATE, TRAIN

UNIT_TOKENS = 18_000_000
DROPPED = 0.1


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path))
@click.option("--tokens", multiple=True, default=("1B", "4B"), show_default=True)
@click.option("--one", hidden=True, is_flag=True)
def main(out: Path, tokens: tuple[str, ...], one: bool) -> None:
    """Print one row a size."""
    if one:
        print(json.dumps(_measure(parse_quantity(tokens[0]), out)))
        return
    print(
        "| tokens | units | shards | cut, M tokens/s | assemble, M tokens/s | both | own MB | with mapped files, MB |"
    )
    for text in tokens:
        command = [sys.executable, "-m", "benchmarks.scale", "--one", "--out", str(out), "--tokens", text]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout)
        print(f"| {text} | " + " | ".join(f"{value:,.0f}" for value in found) + " |", flush=True)
        shutil.rmtree(out)


def _measure(tokens: int, out: Path) -> list[float]:
    recipe = replace(open_recipe("gpt-s-5m", tokens)[0])
    plan = Plan(recipe, (), out, None)
    units = [_units(out / "units" / name, count * recipe.window) for name, count in _named(recipe)]
    watch = _Watch()
    cuts = [cut_tasks(plan, i, some, "scale") for i, some in enumerate(units)]
    cutting = _seconds(cut, [task for tasks in cuts for task in tasks])
    shards = shard_tasks(plan, cuts, "scale")
    assembling = _seconds(assemble, shards)
    made = sum(recipe.windows) * recipe.window / 1e6
    rates = [made / cutting, made / assembling, made / (cutting + assembling)]
    return [sum(map(len, units)), len(shards), *rates, *watch.stop()]


def _named(recipe: Any) -> list[tuple[str, int]]:
    return list(zip(recipe.names, recipe.windows, strict=True))


def _seconds(function: Callable[[Any], object], tasks: list[Any]) -> float:
    began = time.perf_counter()
    for task in tasks:
        function(task)
    return time.perf_counter() - began


def _units(folder: Path, needed: int) -> list[DedupedUnit]:
    """Unit files with as many surviving tokens as the source needs."""
    folder.mkdir(parents=True)
    rng, units, start = np.random.default_rng(len(str(folder))), list[DedupedUnit](), 0
    while start < needed:
        lengths = np.clip(rng.lognormal(np.log(650), 0.9, UNIT_TOKENS // 970), 1, 20_000).astype(np.uint32)
        codes = np.where(rng.random(len(lengths)) < DROPPED, FIRST_DUPLICATE, TRAIN).astype(np.uint8)
        path = folder / f"{len(units):05d}.arrow"
        _write_unit(path, lengths, rng)
        none = np.empty(0, np.uint32)
        units.append(DedupedUnit(path, path.stem, codes, start, int(lengths[codes == TRAIN].sum()), none, 0, none))
        start = units[-1].stop
    return units


def _write_unit(path: Path, lengths: np.ndarray, rng: np.random.Generator) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, UNIT) as writer:
        for first in range(0, len(lengths), 1000):
            some = lengths[first : first + 1000]
            ids = pa.array(rng.integers(0, 4096, int(some.sum()), dtype=np.uint16))
            names = [f"<urn:uuid:{first + i:032x}>" for i in range(len(some))]
            offsets = pa.array(np.concatenate([[0], np.cumsum(some)]).astype(np.int32))
            empty = pa.ListArray.from_arrays(pa.array([0] * (len(some) + 1), pa.int32()), pa.array([], pa.uint32()))
            columns = [
                pa.array(names),
                pa.array([f"https://example.org/{name}" for name in names]),
                pa.array(rng.integers(0, 2**63, len(some), dtype=np.uint64)),
                empty,
                pa.array(some),
                pa.ListArray.from_arrays(offsets, ids),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=UNIT))


class _Watch:
    """The peak of this process's own memory and of all that is mapped into it, in MB, from now on."""

    def __init__(self) -> None:
        self._peak, self._done = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the kernel's own peak begins anew
        self._thread.start()

    def _look(self) -> None:
        while not self._done.wait(0.02):
            self._peak = max(self._peak, _status("RssAnon"))

    def stop(self) -> list[float]:
        self._done.set()
        self._thread.join()
        return [self._peak / 1e3, _status("VmHWM") / 1e3]


def _status(name: str) -> int:
    return int(Path("/proc/self/status").read_text(encoding="utf-8").split(f"{name}:")[1].split()[0])


if __name__ == "__main__":
    main()

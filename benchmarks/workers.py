"""Workers that are killed and frozen while a cluster builds; what a task costs the scheduler; what workers gain.

    python -m benchmarks.workers [--blows 200] [--tokens 1M] [--scaling RECIPE] [--counts 1,2]

Blows: a scheduler and two `dask worker`s as processes of their own, in folders of their own. Build after build of the
sample; at random moments a worker's process is killed, or frozen for good (its nanny starts another when the
scheduler's worker-ttl, 2 s here, is over). Every build must end with the root digest of a build in one process and with
as many receipts as units.

Scaling: builds of one recipe with several numbers of worker processes on this machine, with the seconds of each stage.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click
import psutil

from gpts_data.cli.options import Quantity, open_recipe
from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.execute import open_engine

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.support.cluster import Cluster, cluster

BETWEEN = (0.5, 3.0)  # seconds between two blows
PATIENCE = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "2s", "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1000"}


@click.command()
@click.option("--blows", type=int, default=200, show_default=True)
@click.option("--tokens", type=Quantity(), default="1M", show_default=True)
@click.option("--scaling", type=click.Path(path_type=Path, exists=True), help="A recipe to build with local workers.")
@click.option("--counts", default="1,2", show_default=True, help="Numbers of workers for --scaling.")
def main(blows: int, tokens: int, scaling: Path | None, counts: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        if blows:
            campaign(Path(temporary), blows, tokens)
            overhead(Path(temporary))
        if scaling:
            scale(Path(temporary) / "scaling", scaling, [int(count) for count in counts.split(",")])


def campaign(home: Path, blows: int, tokens: int) -> None:
    """Build until so many blows have been dealt."""
    recipe, folder = open_recipe("sample", tokens)
    tokenizer = home / "first" / "tokenizer"
    build(recipe, folder, home / "first")
    expected = build(recipe, folder, home / "expected", tokenizer=tokenizer)
    dealt: Counter[str] = Counter()
    builds = 0
    with cluster(home / "cluster", PATIENCE) as running:
        while dealt.total() < blows:
            out = home / f"mix-{builds}"
            with _blows(running, dealt, random.Random(builds)):
                built = build(recipe, folder, out, tokenizer=tokenizer, scheduler=running.address)
            if built.manifest["root_digest"] != expected.manifest["root_digest"] or built.units != expected.units:
                raise click.ClickException(f"build {builds} differs: {built.manifest['root_digest']}")
            shutil.rmtree(out)
            builds += 1
    print(
        f"{dealt['SIGKILL']} kills and {dealt['SIGSTOP']} freezes over {builds} builds: all with the same root digest"
    )


class _blows:
    """While the block lasts, a blow to one of the workers every few seconds."""

    def __init__(self, running: Cluster, dealt: Counter[str], rng: random.Random) -> None:
        self._running, self._dealt, self._rng, self._over = running, dealt, rng, threading.Event()
        self._thread = threading.Thread(target=self._strike)

    def _strike(self) -> None:
        while not self._over.wait(self._rng.uniform(*BETWEEN)):
            blow = self._rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP))
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                for process in self._running.children(self._rng.randrange(len(self._running.workers))):
                    os.kill(process, blow)
                    self._dealt[blow.name] += 1

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def overhead(home: Path, tasks: int = 2000) -> None:
    with cluster(home / "idle", {}, workers=1) as running, open_engine(scheduler=running.address) as engine:
        seconds = timed(lambda: list(engine.map(abs, range(tasks))))
    print(f"a task that does nothing: {seconds / tasks * 1e3:.1f} ms")


def scale(home: Path, path: Path, counts: Sequence[int]) -> None:
    """Build with each number of local workers; the first build, with the smallest, only compiles and trains."""
    recipe = load_recipe(path)
    tokenizer = home / "first" / "tokenizer"
    if not tokenizer.exists():
        build(recipe, path.parent, home / "first")
    digests = set()
    for count in counts:
        out, stages = home / f"mix-{count}", _StageTimes()
        cpu = _cpu_seconds()
        built = build(recipe, path.parent, out, tokenizer=tokenizer, workers=count, progress=stages)
        digests.add(built.manifest["root_digest"])
        shutil.rmtree(out)
        print(f"{count} workers: {stages.total:.1f} s, {_cpu_seconds() - cpu:.1f} s of CPU; {stages}", flush=True)
    print(f"root digests: {digests}")


def _cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


class _StageTimes:
    """The progress of a build: when each stage was last heard of."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._last: dict[str, float] = {}

    def __call__(self, stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        self._last[stage] = time.perf_counter() - self._began

    @property
    def total(self) -> float:
        return time.perf_counter() - self._began

    def __str__(self) -> str:
        ends = [0.0, *self._last.values()]
        stages = [f"{name} {end - start:.1f}" for (name, end), start in zip(self._last.items(), ends, strict=False)]
        return ", ".join([*stages, f"rest {self.total - ends[-1]:.1f}"])


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""What verify finds and how fast it looks: random bit flips of a tiny mix, and its rate beside that of sha256sum.

    python -m benchmarks.verify MIX [--flips 10000] [--rounds 3] [--seed 1]

Flips: one random bit of all bytes of the folder's files, manifest included, is flipped, looked for, and flipped back;
found is only what names the file. Rate: `verify` and `sha256sum` over the files of MIX in turn, each a process of its
own, the best of the rounds; files that fit are in the page cache for both.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks.crashes import write_recipe
from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from gpts_data.validation.verify import verify

COMMAND = "from gpts_data.cli.main import cli; cli()"


@click.command()
@click.argument("folder", metavar="MIX", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--flips", default=10_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(folder: Path, flips: int, rounds: int, seed: int) -> None:
    """Print both."""
    with tempfile.TemporaryDirectory() as work:
        recipe = write_recipe(Path(work))
        build(load_recipe(recipe), recipe.parent, Path(work) / "mix")
        print(f"{found(Path(work) / 'mix', flips, random.Random(seed)):,} of {flips:,} flips found and named")
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    ours = min(_seconds([sys.executable, "-c", COMMAND, "verify", str(folder)]) for _ in range(rounds))
    theirs = min(_seconds(["sha256sum", *map(str, files)]) for _ in range(rounds))
    print(f"{size:,.0f} MB: verify {size / ours:,.0f} MB/s, sha256sum {size / theirs:,.0f}: {theirs / ours:.2f} of it")


def found(mix: Path, flips: int, rng: random.Random) -> int:
    """How many of `flips` flipped bits `verify` finds, naming the file."""
    files = [path for path in sorted(mix.rglob("*")) if path.is_file()]
    sizes = [path.stat().st_size for path in files]
    n_found = 0
    for _ in range(flips):
        (path,) = rng.choices(files, sizes)
        whole = path.read_bytes()
        place, bit = rng.randrange(len(whole)), 1 << rng.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        n_found += path.relative_to(mix).as_posix() in {problem.file for problem in verify(mix)}
        path.write_bytes(whole)
    return n_found


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

"""Builds killed, built twice at once, on disks that fail or are full: does the same command end with the same bytes?

    python -m benchmarks.crashes [--kills 1000] [--rots 300] [--faults 60] [--pairs 100] [--disks 40] [--seed 1]

A tiny recipe of three sources, some 25 units. Kills: a build in a process of its own, forked warm, dies by SIGKILL
after a random time and is started again until one gets through; its folder is then compared, file by file, with that
of a build nobody touched. Whenever there is a manifest, everything it names is checked against its sha256. Rots: after
such a kill one file of the unfinished build, whichever it is, gets a flipped bit, is cut short, deleted or swapped with
another one; the same command must end with the same bytes. Faults
(Linux with strace): one write, fsync or rename fails with EIO or ENOSPC, the n-th for n evenly over all there are.
Pairs: two builds begin in one folder at the same time. Disks (Linux as root): file systems in memory, of sizes from
nearly nothing to what a build takes, that get room once the build has given up.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from gpts_data.mixer.build import build
from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.errors import GptsDataError, LockedError
from gpts_data.validation.verify import verify
from tests.conftest import RECIPE, write_corpus

CALLS = {"fsync": "EIO", "rename": "ENOSPC", "write": "ENOSPC"}  # and what the kernel is made to say
COMMAND = "from gpts_data.cli.main import cli; cli()"


@click.command()
@click.option("--kills", default=1000, show_default=True)
@click.option("--rots", default=300, show_default=True)
@click.option("--faults", default=60, show_default=True, help="Of each call.")
@click.option("--pairs", default=100, show_default=True)
@click.option("--disks", default=40, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(kills: int, rots: int, faults: int, pairs: int, disks: int, seed: int) -> None:
    """Print what was done to the builds and what came out."""
    with tempfile.TemporaryDirectory() as work:
        recipe = write_recipe(Path(work))
        began = time.perf_counter()
        build(load_recipe(recipe), recipe.parent, Path(work) / "whole")
        expected = files_of(Path(work) / "whole")
        print(f"{len(expected)} files, built in {time.perf_counter() - began:.1f} s the first time", flush=True)
        for number, line in enumerate(killed(recipe, Path(work) / "killed", expected, kills, seed)):
            if number % 50 == 0:
                print(line, flush=True)
        print(line)
        if rots:
            print(rotted(recipe, Path(work) / "rotted", expected, rots, seed), flush=True)
        for call in CALLS if shutil.which("strace") and faults else ():
            print(broken(recipe, Path(work) / "broken", expected, call, faults), flush=True)
        if pairs:
            print(paired(recipe, Path(work) / "paired", expected, pairs), flush=True)
        if disks and sys.platform == "linux" and os.geteuid() == 0:
            print(crammed(recipe, Path(work) / "disk", expected, disks), flush=True)


def write_recipe(folder: Path) -> Path:
    """The tests' corpus and recipe."""
    write_corpus(folder / "corpus")
    path = folder / "recipe.toml"
    path.write_text(
        RECIPE.format(tokens="20k", window=64, seed=1, unit="8kB", shard_windows=100, order="file"), encoding="utf-8"
    )
    return path


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed(recipe: Path, out: Path, expected: dict[str, bytes], kills: int, seed: int) -> Iterator[str]:
    """Kill builds into `out` until there were so many kills and the last folder is whole; a line after each folder.

    Raises `AssertionError` when a folder ends otherwise than `expected`.
    """
    rng, n_killed, folders, began_again = random.Random(seed), 0, 0, Counter[int]()
    longest = 2 * _seconds(recipe, out)
    while n_killed < kills:
        shutil.rmtree(out, ignore_errors=True)
        tries = 0
        while not _one(recipe, out, rng.uniform(0, longest)):
            tries += 1
            _manifest_is_sound(out)
        n_killed, folders = n_killed + tries, folders + 1
        began_again[tries] += 1
        if files_of(out) != expected:
            raise AssertionError(f"another result after {tries} kills, seed {seed}, folder {folders}: {out}")
        most = max(began_again)
        yield f"{n_killed:,} kills, {folders:,} builds whole in the end, up to {most} kills each; all bytes equal"


def rotted(recipe: Path, out: Path, expected: dict[str, bytes], rots: int, seed: int) -> str:
    """Kill builds at random moments and damage one file of each; each time the same command must mend it.

    Raises `AssertionError` when a folder ends otherwise than `expected`.
    """
    rng, done = random.Random(seed), Counter[str]()
    longest = _seconds(recipe, out)
    while done.total() < rots:
        shutil.rmtree(out, ignore_errors=True)
        if _one(recipe, out, rng.uniform(0, longest)) or (out / "manifest.json").exists():
            continue  # too late: there is nothing left to resume
        files = sorted(path for path in out.rglob("*") if path.is_file() and path.stat().st_size)
        if not files:
            continue
        path = rng.choice(files)
        # without plan.json, the folder is not known as ours until the tokenizer is in it
        kind = rng.choice(["flipped", "cut", *(["deleted", "swapped"] if path.name != "plan.json" else [])])
        _damage(path, kind, rng, files)
        done[kind] += 1
        if not _one(recipe, out, None) or files_of(out) != expected:
            raise AssertionError(f"another result after {path} was {kind}, seed {seed}, damage {done.total()}")
    return f"{', '.join(f'{count} x {kind}' for kind, count in sorted(done.items()))}: all bytes equal"


def _damage(path: Path, kind: str, rng: random.Random, files: Sequence[Path]) -> None:
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    elif kind == "cut":
        path.write_bytes(content[: rng.randrange(len(content))])
    elif kind == "deleted":
        path.unlink()
    else:
        other = rng.choice([file for file in files if file.suffix == path.suffix and file.name != "plan.json"])
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)


def _seconds(recipe: Path, out: Path) -> float:
    began = time.perf_counter()
    if not _one(recipe, out, None):
        raise AssertionError("a build that nobody kills does not end")
    return time.perf_counter() - began


def _one(recipe: Path, out: Path, seconds: float | None) -> bool:
    """Build in a forked process, killed after so long. Whether it got through."""
    pid = _fork(recipe, out)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            if status:
                raise AssertionError(f"a build nobody killed ended with status {status}")
            return True
        if deadline is not None and time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(0.001)


def _fork(recipe: Path, out: Path) -> int:
    """Begin a build in a process that exits as the command would; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        build(load_recipe(recipe), recipe.parent, out)
        code = 0
    except GptsDataError as error:
        code = error.exit_code
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(code)


def _exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _manifest_is_sound(out: Path) -> None:
    """After a kill: if there is a manifest, all it names is there, to the bit; only work not cleaned up is extra."""
    if (out / "manifest.json").exists():
        problems = [p for p in verify(out) if not (p.file.startswith(".build/") and p.problem.startswith("extra"))]
        if problems:
            raise AssertionError(f"a manifest that is wrong after a kill: {problems[:3]}")


def broken(recipe: Path, out: Path, expected: dict[str, bytes], call: str, faults: int) -> str:
    """Make the n-th `call` of a build fail, for `faults` values of n; each time the same command must mend it."""
    traced = out.with_name("trace")
    shutil.rmtree(out, ignore_errors=True)
    _strace(recipe, out, ["-e", f"trace={call}", "-o", str(traced)])
    total = sum(f"{call}(" in line for line in traced.read_text(encoding="utf-8").splitlines())
    codes = Counter[int]()
    places = sorted({1 + total * i // faults for i in range(faults)})
    for n in places:
        shutil.rmtree(out, ignore_errors=True)
        inject = f"inject={call}:error={CALLS[call]}:when={n}"
        codes[_strace(recipe, out, ["-e", f"trace={call}", "-e", inject, "-o", "/dev/null"])] += 1
        if _one(recipe, out, None) and files_of(out) != expected:
            raise AssertionError(f"another result after {call} {n} failed: {out}")
    exits = ", ".join(f"{count} x exit {code}" for code, count in sorted(codes.items()))
    return (
        f"{call}: {len(places)} of {total:,} failed with {CALLS[call]}, one a build: {exits}; mended, all bytes equal"
    )


def paired(recipe: Path, out: Path, expected: dict[str, bytes], pairs: int) -> str:
    """Begin two builds in one folder at once: one works, the other is told so and changes nothing."""
    for _ in range(pairs):
        shutil.rmtree(out, ignore_errors=True)
        pids = [_fork(recipe, out) for _ in range(2)]
        codes = sorted(_exit_code(pid) for pid in pids)
        if codes != [0, LockedError.exit_code] or files_of(out) != expected:
            raise AssertionError(f"two builds at once ended with {codes}: {out}")
    return f"{pairs} pairs of builds begun at once: each time one built all, the other exited {LockedError.exit_code}"


def crammed(recipe: Path, disk: Path, expected: dict[str, bytes], disks: int) -> str:
    """Build on file systems too small: the disk is named as the reason, and with room the same command goes on."""
    disk.mkdir()
    codes = Counter[int]()
    for n in range(disks):
        size = 64_000 + 1_500_000 * n // disks  # a build takes some 1.2 MB
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
        try:
            codes[_exit_code(_fork(recipe, disk / "mix"))] += 1
            subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
            if _one(recipe, disk / "mix", None) and files_of(disk / "mix") != expected:
                raise AssertionError(f"another result after a disk of {size:,} bytes was full")
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    exits = ", ".join(f"{count} x exit {code}" for code, count in sorted(codes.items()))
    return f"{disks} disks of 64 kB to 1.5 MB: {exits}; with room, all bytes equal"


def _strace(recipe: Path, out: Path, options: list[str]) -> int:
    command = ["strace", "-f", "-qq", *options, sys.executable, "-c", COMMAND, "build-mix", "--recipe", str(recipe)]
    return subprocess.run([*command, "--out", str(out)], capture_output=True, check=False).returncode


if __name__ == "__main__":
    main()

"""VERIFY: is the folder exactly what its manifest says? Needs nothing but the folder.

Every byte of every file is under a sha256 in the manifest, and the manifest under its own checksum: so any flipped bit
and any missing, extra, swapped or cut file is found. Then the meaning is checked: the order against the schedule and
the permutation, the ids against the vocabulary, the documents against the stream, the waterfall against zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.mixer.schedule.budget import share, whole_weights
from gpts_data.mixer.schedule.source_order import find_source_order
from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.pipelines.execute import Engine, InProcess
from gpts_data.pipelines.storage.atomic_files import file_digest
from gpts_data.pipelines.storage.paths import absolute, list_files, open_arrow

Progress = Callable[[str, int, int], None]
OF_THE_HUB = re.compile(r"\.gitattributes$|\.cache/huggingface/|\.git/")
"""What the hub's clients add to a folder that they bring or send."""


@dataclass(frozen=True)
class Problem:
    """What is not as the manifest says."""

    file: str
    """Relative to the mix folder."""
    problem: str
    """Found against expected."""


def verify(
    folder: Path, *, quick: bool = False, progress: Progress = lambda *_: None, engine: Engine = InProcess()
) -> list[Problem]:
    """All problems of a mix folder; none means that it is whole. `quick` compares names and sizes only.

    `engine` reads the files for their digests: what takes the time.

    Raises `UsageError` when there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a mix written by build-mix")
    try:
        mix = open_mix(folder)
    except (UsageError, VerificationError) as error:
        return [Problem(NAME, str(error))]
    entries = [*mix.manifest["shards"], *mix.manifest["files"]]
    problems = [*_names(folder, entries), *_sizes(folder, entries)]
    if not quick:
        problems += _digests(folder, entries, progress, engine)
    if not quick and not problems:
        problems = [*_accounts(mix), *_order(mix), *_documents(mix)]
    return problems


def _names(folder: Path, entries: list[dict[str, Any]]) -> Iterator[Problem]:
    listed = {entry["file"] for entry in entries} | {NAME}
    for name in list_files(folder):
        if name not in listed and not OF_THE_HUB.match(name):
            yield Problem(name, "extra file, not in the manifest")


def _sizes(folder: Path, entries: list[dict[str, Any]]) -> Iterator[Problem]:
    for entry in entries:
        path = folder / entry["file"]
        if not path.is_file():
            yield Problem(entry["file"], "missing")
        elif (size := path.stat().st_size) != entry["bytes"]:
            yield Problem(entry["file"], f"{size:,} bytes, expected {entry['bytes']:,}")


def _digests(folder: Path, entries: list[dict[str, Any]], progress: Progress, engine: Engine) -> list[Problem]:
    total, done = sum(entry["bytes"] for entry in entries), 0
    by_digest = {entry["sha256"]: entry["file"] for entry in entries}
    wanted = {entry["file"]: entry["sha256"] for entry in entries}
    problems: dict[str, Problem] = {}
    reads = [Read(absolute(folder / entry["file"]), entry["file"], entry["bytes"]) for entry in entries]
    for read in engine.map(_read, reads):
        expected = wanted[read.name]
        if read.found and read.found != expected:
            other = f"; it is the content of {by_digest[read.found]}" if read.found in by_digest else ""
            text = f"sha256 {read.found[:16]}..., expected {expected[:16]}...{other}"
            problems[read.name] = Problem(read.name, text)
        done += read.size
        progress(read.name, done, total)
    return [problems[name] for name in wanted if name in problems]


@dataclass(frozen=True)
class Read:
    """One task: the digest of a file that is as long as it should be; `found` is "" for any other."""

    path: Path
    name: str
    size: int
    found: str = ""


def _read(task: Read) -> Read:
    whole = task.path.is_file() and task.path.stat().st_size == task.size
    return replace(task, found=file_digest(task.path)) if whole else task


def _accounts(mix: Mix) -> Iterator[Problem]:
    """Shares by largest remainder, and no document unexplained."""
    recipe, sources = mix.manifest["recipe"], mix.manifest["sources"]
    wanted = share(mix.windows, whole_weights([source["weight"] for source in recipe["source"]]))
    for name, windows in zip(mix.sources, wanted, strict=True):
        if sources[name]["windows"] != windows:
            yield Problem(NAME, f"{name}: {sources[name]['windows']:,} windows, its share is {windows:,}")
        fall = mix.manifest["waterfall"][name]
        lost = fall["read"] - fall["kept"] - sum(fall["dropped"].values())
        if lost:
            yield Problem(NAME, f"{name}: {lost:,} documents unexplained")
        benchmarks = mix.manifest.get("decontamination", {}).get("benchmarks", {})
        found = sum(benchmark["contaminated"][name] for benchmark in benchmarks.values())
        if (dropped := fall["dropped"].get(CONTAMINATED_REASON, 0)) != found:
            yield Problem(NAME, f"{name}: {dropped:,} documents dropped as contaminated, {found:,} by benchmark")


def _order(mix: Mix) -> Iterator[Problem]:
    """Each shard's sidecar against schedule and permutation, and its ids against the vocabulary."""
    recipe, sources = mix.manifest["recipe"], mix.manifest["sources"]
    shares = [sources[name]["windows"] for name in mix.sources]
    schedule = find_source_order(whole_weights([source["weight"] for source in recipe["source"]]), shares)
    before = np.zeros(len(shares), dtype=np.int64)
    start = 0
    for number, entry in enumerate(mix.manifest["shards"]):
        rows = sidecar(mix, number)
        order = schedule.sources(start, start + entry["windows"], before.tolist())
        windows = np.empty(len(order), dtype=np.int64)
        for i in range(len(shares)):
            mine = order == i
            slots = before[i] + np.arange(mine.sum())
            windows[mine] = mix.epoch_order(i).windows_at(slots)
            before[i] += mine.sum()
        if len(rows) != len(order) or (rows["source"] != order).any() or (rows["window"] != windows).any():
            yield Problem(f"{entry['file'].removesuffix('.bin')}.windows.npy", "not the order of schedule and seed")
        if (highest := int(mix.shard(number).max())) >= mix.vocab_size or highest != entry["highest_id"]:
            yield Problem(entry["file"], f"highest id {highest}, expected {entry['highest_id']}")
        start += entry["windows"]


def _documents(mix: Mix) -> Iterator[Problem]:
    """Document tables follow on each other from 0 and reach to the end of the source's last window."""
    for name in mix.sources:
        place = 0
        for file in document_tables(mix.manifest["files"], name):
            with open_arrow(mix.path / file["file"]) as content:
                table = pq.read_table(content, columns=["start", "tokens"])
            starts, tokens = table.column("start").to_numpy(), table.column("tokens").to_numpy()
            ends = place + np.cumsum(tokens, dtype=np.uint64)
            if (starts != np.concatenate([[place], ends[:-1]])).any():
                yield Problem(file["file"], f"its documents do not follow on each other from token {place:,}")
            place = int(ends[-1])
        facts = mix.manifest["sources"][name]
        expected = facts["pass_windows"] * mix.window + facts["leftover_tokens"]
        if place != expected:
            yield Problem(f"documents/{name}", f"{place:,} tokens, expected {expected:,}")

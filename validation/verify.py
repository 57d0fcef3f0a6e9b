"""VERIFY: check that a mix folder is exactly what its manifest says. Needs nothing but the folder.

The manifest has the sha256 of every other file, and a checksum of itself. So any flipped bit and any missing, extra,
swapped or truncated file is found. Then the contents are checked against each other: the digests of the values that the
root digest covers, the training order against the weights and the seed, the ids against the vocabulary, the document
tables against the streams, and the document counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gpts_data.mixer.format.content_digest import content_digest
from gpts_data.mixer.format.layout import is_file_of_a_mix
from gpts_data.mixer.format.listed_files import file_problem
from gpts_data.mixer.format.manifest import NAME
from gpts_data.mixer.format.manifest_types import FileEntry
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.mixer.format.outcomes import count_outcomes
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.mixer.plan_file import WORK
from gpts_data.mixer.schedule.source_order import find_source_order
from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.pipelines.execute import Engine, InProcess
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import file_digest
from gpts_data.pipelines.storage.listing import list_files
from gpts_data.pipelines.storage.paths import AnyPath, absolute
from gpts_data.tokenizer.artifact import load as load_tokenizer
from gpts_data.validation.document_streams import check_documents

HUB_FILES = re.compile(r"\.gitattributes$|\.cache/huggingface/|\.git/")
"""Files that the hub's clients add to a folder when they upload or download it."""
ARRAYS_AND_TABLES = (".npy", ".parquet")


@dataclass(frozen=True)
class Problem:
    """A file that is not what the manifest says."""

    file: str
    """Path relative to the mix folder."""
    problem: str
    """What was found and what was expected."""


def warm_up() -> None:
    """Load what the tasks need, in the process that workers are forked from: to find this function imports it all."""


def verify(
    folder: AnyPath, *, quick: bool = False, progress: Progress = lambda *_: None, engine: Engine = InProcess()
) -> list[Problem]:
    """All problems of a mix folder; an empty list means that the mix is intact.

    `quick` compares only names and sizes. `engine` runs the slow part, the sha256 of every file. The contents are
    checked against each other only when all files are intact. Raises `UsageError` when the folder holds no mix: neither
    a manifest nor shards, or a half-finished build.
    """
    try:
        mix = open_mix(folder)
    except (UsageError, VerificationError) as error:
        if isinstance(error, UsageError) and ((folder / WORK).exists() or not (folder / "shards").exists()):
            raise
        return [Problem(NAME, str(error))]
    entries = [*mix.manifest["shards"], *mix.manifest["files"]]
    problems = [*_names(folder, entries), *_files(folder, entries)]
    if not quick:
        unread = {problem.file for problem in problems}  # a link out of the mix is not read either
        problems += _digests(folder, [entry for entry in entries if entry["file"] not in unread], progress, engine)
    if not quick and not problems:
        problems = [*_contents(folder, entries, engine), *_tokenizer(mix)]
        for check in (_counts, _stages, _outcomes, _order, _documents, _validation) if not problems else ():
            problems += _until_unreadable(check, mix)
    return problems


def _until_unreadable(check: Callable[[Mix], Iterator[Problem]], mix: Mix) -> Iterator[Problem]:
    """The problems that a check finds; it ends at a file whose content is of another kind than its name says."""
    try:
        yield from check(mix)
    except VerificationError as error:
        yield Problem(NAME, str(error))


def _names(folder: AnyPath, entries: Sequence[FileEntry]) -> Iterator[Problem]:
    listed = {entry["file"] for entry in entries} | {NAME}
    for name in list_files(folder):
        if name not in listed and not HUB_FILES.match(name):
            shown = name.encode(errors="backslashreplace").decode()  # names on disk need not be UTF-8
            yield Problem(shown, "extra file, not listed in manifest.json")
    for entry in entries:
        if not is_file_of_a_mix(entry["file"]):
            yield Problem(entry["file"], "extra file: listed in manifest.json, but no mix has a file of this name")


def _files(folder: AnyPath, entries: Sequence[FileEntry]) -> Iterator[Problem]:
    for entry in entries:
        if problem := file_problem(folder, entry):
            yield Problem(entry["file"], problem)


def _digests(folder: AnyPath, entries: Sequence[FileEntry], progress: Progress, engine: Engine) -> list[Problem]:
    total, done = sum(entry["bytes"] for entry in entries), 0
    by_digest = {entry["sha256"]: entry["file"] for entry in entries}
    expected = {entry["file"]: entry["sha256"] for entry in entries}
    problems: dict[str, Problem] = {}
    tasks = [FileDigest(absolute(folder / entry["file"]), entry["file"], entry["bytes"]) for entry in entries]
    for file in engine.map(_digest, tasks):
        if file.sha256 and file.sha256 != expected[file.name]:
            other = f"; it is the content of {by_digest[file.sha256]}" if file.sha256 in by_digest else ""
            text = f"sha256 {file.sha256[:16]}..., expected {expected[file.name][:16]}...{other}"
            problems[file.name] = Problem(file.name, text)
        done += file.size
        progress("verify", "", done, total)
    return [problems[name] for name in expected if name in problems]


@dataclass(frozen=True)
class FileDigest:
    """One task: compute the sha256 of a file. It stays "" when the file is gone or its values cannot be read."""

    path: AnyPath
    name: str
    size: int
    sha256: str = ""


def _digest(task: FileDigest) -> FileDigest:
    return replace(task, sha256=file_digest(task.path)) if task.path.is_file() else task


def _contents(folder: AnyPath, entries: Sequence[FileEntry], engine: Engine) -> Iterator[Problem]:
    """Check the digests of the values of tables and arrays, which the root digest covers in place of the bytes."""
    expected = {entry["file"]: entry.get("content") for entry in entries}
    tasks = [FileDigest(absolute(folder / entry["file"]), entry["file"], entry["bytes"]) for entry in entries]
    found = {
        file.name: file.sha256
        for file in engine.map(_content, [task for task in tasks if task.path.suffix in ARRAYS_AND_TABLES])
    }
    for name, digest in sorted(found.items()):
        if not digest:
            yield Problem(name, f"cannot be read as a file of the kind {name[name.rfind('.') :]}")
        elif expected[name] and digest != expected[name]:
            yield Problem(name, f"digest of its values {digest[:16]}..., expected {str(expected[name])[:16]}...")


def _content(task: FileDigest) -> FileDigest:
    try:
        return replace(task, sha256=content_digest(task.path) or "")
    except VerificationError:
        return task


def _tokenizer(mix: Mix) -> Iterator[Problem]:
    """Check that the tokenizer is the one whose digest, size and end-of-text the manifest has."""
    name, expected = "tokenizer/tokenizer.json", mix.manifest["tokenizer"]
    try:
        artifact = load_tokenizer(mix.tokenizer)
    except (UsageError, VerificationError) as error:
        yield Problem(name, str(error))
        return
    if (artifact.digest, artifact.vocab_size, artifact.eos_id) != (
        expected["digest"],
        expected["vocab_size"],
        expected["eos_id"],
    ):
        yield Problem(
            name,
            f"{artifact.vocab_size:,} entries, end-of-text {artifact.eos_id}, digest {artifact.digest[:16]}..., "
            f"expected {expected['vocab_size']:,}, {expected['eos_id']} and {expected['digest'][:16]}...",
        )


def _counts(mix: Mix) -> Iterator[Problem]:
    """Check the windows of each source against its weight, and that its document counts add up."""
    sources = mix.manifest["sources"]
    shares = map(sum, zip(*(stage.windows for stage in mix.stages), strict=True))
    benchmarks = mix.manifest.get("decontamination", {}).get("benchmarks", {})
    for name, windows in zip(mix.sources, shares, strict=True):
        if sources[name]["windows"] != windows:
            yield Problem(NAME, f"{name}: {sources[name]['windows']:,} windows, expected {windows:,} by its weight")
        waterfall = mix.manifest["waterfall"][name]
        read, kept, dropped = waterfall["read"], waterfall["kept"], sum(waterfall["dropped"].values())
        if read != kept + dropped:
            yield Problem(
                NAME,
                f"{name}: {read:,} documents read, but {kept:,} kept and {dropped:,} dropped make {kept + dropped:,}",
            )
        training, held_out = sources[name]["documents"], sources[name]["validation"]["documents"]
        if kept != training + held_out:
            yield Problem(
                NAME, f"{name}: {kept:,} documents kept, but {training:,} for training and {held_out:,} for validation"
            )
        contaminated = waterfall["dropped"].get(CONTAMINATED_REASON, 0)
        by_benchmark = sum(benchmark["contaminated"][name] for benchmark in benchmarks.values())
        if contaminated != by_benchmark:
            yield Problem(
                NAME, f"{name}: {contaminated:,} documents dropped as contaminated, but {by_benchmark:,} by benchmark"
            )


def _stages(mix: Mix) -> Iterator[Problem]:
    """Check the boundaries and windows of the stages against the weights, for a recipe with stages."""
    expected = [
        {"start": stage.start, "stop": stage.stop, "sources": dict(zip(mix.sources, stage.windows, strict=True))}
        for stage in mix.stages
    ]
    found = mix.manifest.get("stages", expected if len(expected) == 1 else None)
    if found != expected:
        yield Problem(NAME, f"stages: found {found}, expected {expected} by the weights of the recipe")


def _outcomes(mix: Mix) -> Iterator[Problem]:
    """Check that the outcomes of the documents of each source are those that the waterfall counts."""
    for name in mix.sources:
        waterfall = mix.manifest["waterfall"][name]
        expected = Counter({"kept": waterfall["kept"], **waterfall["dropped"]})
        counts = count_outcomes(mix, name)
        for outcome in sorted(counts.keys() | expected.keys()):
            if counts[outcome] != expected[outcome]:
                yield Problem(
                    f"outcomes/{name}", f"{counts[outcome]:,} documents {outcome}, expected {expected[outcome]:,}"
                )


def _order(mix: Mix) -> Iterator[Problem]:
    """Check the sidecar of each shard against weights and seed, and its ids against the vocabulary."""
    schedule = find_source_order(mix.stages)
    counts = np.zeros(len(mix.sources), dtype=np.int64)
    for number, entry in enumerate(mix.manifest["shards"]):
        rows = sidecar(mix, number)
        start, stop = mix.shard_starts[number : number + 2].tolist()
        order = schedule.sources(start, stop, counts.tolist())
        windows = np.empty(len(order), dtype=np.int64)
        for i in range(len(mix.sources)):
            is_source = order == i
            slots = counts[i] + np.arange(is_source.sum())
            windows[is_source] = mix.epoch_order(i).windows_at(slots)
            counts[i] += is_source.sum()
        if len(rows) != len(order) or (rows["source"] != order).any() or (rows["window"] != windows).any():
            sidecar_name = f"{entry['file'].removesuffix('.bin')}.windows.npy"
            yield Problem(sidecar_name, "its windows are not in the order that the recipe's weights and seed give")
        highest = int(mix.shard(number).max())
        if highest >= mix.vocab_size:
            yield Problem(entry["file"], f"highest id {highest:,}, but the tokenizer has {mix.vocab_size:,} entries")
        elif highest != entry["highest_id"]:
            yield Problem(entry["file"], f"highest id {highest:,}, expected {entry['highest_id']:,}")


def _documents(mix: Mix) -> Iterator[Problem]:
    """Check that the document tables of each source list all of its documents, and that these make up its streams."""
    for file, problem in check_documents(mix):
        yield Problem(file, problem)


def _validation(mix: Mix) -> Iterator[Problem]:
    """Check the ids of the held-out windows against the vocabulary."""
    for name in mix.sources:
        highest = int(mix.validation(name).max(initial=0))
        if highest >= mix.vocab_size:
            yield Problem(
                f"validation/{name}.bin",
                f"highest id {highest:,}, but the tokenizer has {mix.vocab_size:,} entries",
            )

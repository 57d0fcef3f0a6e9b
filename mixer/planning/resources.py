"""The disk space, memory and open files that a build needs, estimated (rather too high) from the recipe.

Measured (Python 3.11, Linux, 2 cores) on `build-mix --recipe sample` with 300k and 1M tokens, keeping the work folder:

- a unit file has 2 bytes for each token (4 if the vocabulary has more than 65,536 entries) and 68 to 164 for each
  document (id and URL); its sorted keys have 12 bytes each, 17 for each document;
- a document's row in its table has 36 to 64 bytes, compressed with zstd, and its row in the index 8;
- the process that reads from the hub peaks at 61 MB, prefetched bytes included;
- memory is the proportional set size (PSS) of all processes together, in which a page that several processes share
  counts once (`python -m benchmarks.plan`). The peak with 11M or 20M tokens of three sources in units of 8 MB is 351 to
  437 MB in a single process, 739 to 767 with two workers, and 992 to 1,009 with four; with documents of 7.5 MB it is
  454, 749, and 1,119 MB; with the sample and two or four workers 561 and 642 MB. Of these a worker has up to 178 MB of
  its own (206 with the long documents) and the process of the command up to 254; 200 are shared by the workers and the
  process that they are forked from. A worker that starts by itself has up to 239 MB of its own. The first build after
  an installation compiles the kernels, which takes 270 MB more, once;
- training a tokenizer takes 1.1 bytes for each byte of its sample (23 to 124 MB);
- deduplication (`python -m benchmarks.index`, a tenth of the documents repeated): searching a range of keys takes 208
  MB; the walk takes 36 bytes for each of 10 million documents, mostly pages of mapped files, and 29 on disk; before it
  the keys are partitioned, which takes 16 bytes a key on disk until the walk is done;
- open files: 13 in a single process, with 1 shard and with 59; in the process of the command 21 with 2 workers and 25
  with 4; 7 in a worker.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gpts_data.mixer.format.layout import SIDECAR
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.recipe import Recipe
from gpts_data.mixer.stages.assemble import Shard
from gpts_data.mixer.stages.dedup_search import RANGE_KEYS
from gpts_data.mixer.stages.merge_cuts import CutFile
from gpts_data.mixer.stages.rounds import FIRST_RATE, MARGIN
from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.readers.columns import BATCH_BYTES, BATCH_ROWS
from gpts_data.pipelines.readers.verified_file import SPOOL_BYTES
from gpts_data.pipelines.storage.disk import free_bytes, used_bytes
from gpts_data.pipelines.storage.paths import is_store
from gpts_data.pipelines.worker_server import can_fork
from gpts_data.tokenizer.artifact import Artifact, token_dtype

TOKENS_PER_DOCUMENT = 700  # low, so that the number of documents is not underestimated: the sample has 1,288
BYTES_PER_TOKEN = 3.4  # of text, with a vocabulary of 4,096 entries
UNIT_DOCUMENT_BYTES = 170
KEY_BYTES = 12
INDEX_DOCUMENT_BYTES = 36  # in memory, and at most as much on disk
TABLE_DOCUMENT_BYTES = 70
OVERREAD = MARGIN / BYTES_PER_TOKEN / FIRST_RATE  # 1.24: what the first round reads if nothing is dropped

PROCESS_BYTES = 420_000_000  # of a build's only process
COMMAND_BYTES = 450_000_000  # of the process of the command, if there are workers, and what these share
WORKER_BYTES = 140_000_000  # of a worker, without what it shares
UNSHARED_BYTES = 80_000_000  # more of a worker that starts by itself, where none can be forked
BATCH_COPIES = 6  # of the text of a batch: as read, decoded, in Arrow, as words, as ids
DOCUMENT_BYTES = 5_000  # of text in a document, where no sample says so
READER_BYTES = 80_000_000
SEARCH_KEY_BYTES = 52  # for each key of a range

STEP_FILES = 36
WORKER_FILES = 4  # for each worker, in the process of the command: twice a pipe and a descriptor of the process


@dataclass(frozen=True)
class Resources:
    """What a build needs on one machine, at its peak."""

    documents: int
    """Documents in the mix."""
    disk_bytes: int
    """Bytes on disk."""
    memory_bytes: int
    """Memory of all processes together (PSS)."""
    index_bytes: int
    """The part of `memory_bytes` that grows with the number of documents: the walk of deduplication."""
    process_bytes: int
    """Memory that one more worker would add; without workers, that of the only process."""
    open_files: int
    """Open files in the process that has the most."""


def estimate_resources(
    recipe: Recipe,
    workers: int = 1,
    text_tokens: int | None = None,
    sample_bytes: int | None = None,
    documents: int | None = None,
    document_bytes: int = DOCUMENT_BYTES,
    source_bytes: Sequence[float] | None = None,
) -> Resources:
    """What building `recipe` with `workers` processes on one machine needs.

    text_tokens: tokens without repetitions, where sources are repeated; by default, all of the mix. sample_bytes: text
    that the tokenizer is trained on, 0 if one is given; by default, what the recipe says. documents: those that the
    filters keep; by default, so many as if they were short. document_bytes: mean length of the documents of the source
    that has the longest. source_bytes: text of each source, of which units cannot have more; by default, no limit.
    """
    sample_bytes = recipe.tokenizer.sample if sample_bytes is None else sample_bytes
    disk = disk_by_stage(recipe, text_tokens, sample_bytes, documents, source_bytes)
    if documents is None:
        documents = -(-_text_tokens(recipe, text_tokens) // TOKENS_PER_DOCUMENT)
    index = documents * INDEX_DOCUMENT_BYTES if _keys(recipe) else 0
    reader = READER_BYTES if any(source.dataset for source in recipe.source) else 0
    batch = min(BATCH_ROWS * document_bytes, BATCH_BYTES + document_bytes, max(recipe.unit, document_bytes))
    command, process = _idle_bytes(workers)
    process += reader + _largest_step(recipe) + BATCH_COPIES * batch
    return Resources(
        documents=documents,
        disk_bytes=sum(disk.values()),
        memory_bytes=command + workers * process + sample_bytes + index,
        index_bytes=index,
        process_bytes=process,
        open_files=open_files(workers),
    )


def _idle_bytes(workers: int) -> tuple[int, int]:
    """Memory without that of tasks: once for the whole build, and of each process that runs tasks."""
    if workers == 1:
        return 0, PROCESS_BYTES
    return COMMAND_BYTES, WORKER_BYTES if can_fork() else WORKER_BYTES + UNSHARED_BYTES


def disk_bytes(recipe: Recipe, text_tokens: int | None = None) -> int:
    """Bytes on disk at the peak, just before the work folder is removed: the files of all stages together."""
    return sum(disk_by_stage(recipe, text_tokens).values())


def disk_by_stage(
    recipe: Recipe,
    text_tokens: int | None = None,
    sample_bytes: int | None = None,
    documents: int | None = None,
    source_bytes: Sequence[float] | None = None,
) -> dict[str, int]:
    """Bytes on disk at the peak, by kind: the tokenizer's sample, cached hub files, unit files, cut files, the mix.

    The arguments are those of `estimate_resources`.
    """
    sample_bytes = recipe.tokenizer.sample if sample_bytes is None else sample_bytes
    windows = sum(recipe.windows)
    tokens = windows * recipe.window
    unique_tokens = _text_tokens(recipe, text_tokens)
    mixed_documents = unique_tokens / TOKENS_PER_DOCUMENT
    ids = tokens * _id_bytes(recipe)
    held_out = recipe.validation.fraction * ids
    cut = ids + held_out
    shards = ids + windows * SIDECAR.itemsize
    mix = shards + mixed_documents * (TABLE_DOCUMENT_BYTES + INDEX_DOCUMENT_BYTES) + held_out
    return {
        "sample": sample_bytes,
        "hub files": int(_cached_hub_files(recipe, sample_bytes)),
        "units": int(_unit_files(recipe, unique_tokens, documents or 0, source_bytes)),
        "cut": int(cut),
        "mix": int(mix),
    }


def with_vocabulary(recipe: Recipe, tokenizer: Artifact | None) -> Recipe:
    """`recipe` with the number of entries of a given tokenizer, which decides the bytes of an id."""
    if tokenizer is None:
        return recipe
    return replace(recipe, tokenizer=replace(recipe.tokenizer, vocab_size=tokenizer.vocab_size))


def _id_bytes(recipe: Recipe) -> int:
    return token_dtype(recipe.tokenizer.vocab_size).itemsize


def _text_tokens(recipe: Recipe, text_tokens: int | None) -> int:
    return sum(recipe.windows) * recipe.window if text_tokens is None else text_tokens


def _cached_hub_files(recipe: Recipe, sample_bytes: int) -> int:
    """The parts that the tokenizer's sample was drawn from, compressed and uncleaned, and whole verified downloads."""
    hub = [source for source in recipe.source if source.dataset]
    spool = SPOOL_BYTES if any(source.integrity == "sha256" for source in hub) else 0
    return (sample_bytes if hub else 0) + spool


def open_files(workers: int) -> int:
    """Open files in the process that has the most: twice what was measured.

    The number does not depend on units and shards, because a step has at most four files open: `prepare` reads one and
    writes one, `cut` maps its parts one after another, `assemble` maps a cut file and its index (two of each while it
    moves on to the next), `decide` one unit.
    """
    return STEP_FILES + (WORKER_FILES * workers if workers > 1 else 0)


def _unit_files(recipe: Recipe, tokens: int, documents: int, source_bytes: Sequence[float] | None) -> float:
    """Bytes of unit files for all prepared documents, kept or not, and for the rest of each source's last unit.

    documents: those that the filters keep, as far as they are known. source_bytes: text of each source, if known.
    """
    source_bytes = source_bytes or [math.inf] * len(recipe.source)
    rest_of_units = sum(min(recipe.unit, text_bytes) for text_bytes in source_bytes)
    read_tokens = tokens * OVERREAD + rest_of_units / BYTES_PER_TOKEN
    unit_tokens = max(min(read_tokens, sum(source_bytes) / BYTES_PER_TOKEN), tokens)
    documents = max(documents, int(unit_tokens / TOKENS_PER_DOCUMENT))
    return unit_tokens * _id_bytes(recipe) + documents * (UNIT_DOCUMENT_BYTES + KEY_BYTES * recipe.dedup.n_keys)


def _largest_step(recipe: Recipe) -> int:
    """Memory of a worker's largest step: a shard, the windows of a unit, or a range of keys."""
    shard = min(recipe.shard_windows, sum(recipe.windows)) * recipe.window * _id_bytes(recipe)
    unit = 2 * int(recipe.unit / BYTES_PER_TOKEN) * _id_bytes(recipe)
    keys = _keys(recipe) * sum(_documents(recipe, windows) for windows in recipe.windows)
    return max(shard, unit, min(keys, RANGE_KEYS) * SEARCH_KEY_BYTES)


def _documents(recipe: Recipe, windows: int) -> int:
    """Documents in so many windows, held-out documents included."""
    return -(-windows * recipe.window // TOKENS_PER_DOCUMENT)


def _keys(recipe: Recipe) -> int:
    """The most keys that a document can have."""
    ids = recipe.dedup.id is not None and any(source.id for source in recipe.source)
    urls = recipe.dedup.url and any(source.url for source in recipe.source)
    return recipe.dedup.exact + ids + urls + (recipe.dedup.minhash.buckets if recipe.dedup.minhash else 0)


FULL = (errno.ENOSPC, errno.EDQUOT)


def room_to_begin(plan: Plan) -> None:
    """Raise `StorageError` when the disk has no room for three copies of the ids, less the files of the build so
    far."""
    if is_store(plan.folder):
        return
    tokens = sum(plan.recipe.windows) * plan.recipe.window
    copies = 2 if plan.keep_units else 3
    _require(plan.folder, copies * tokens * plan.dtype.itemsize - used_bytes(plan.folder), "the build")


def room_to_cut(plan: Plan, files: Sequence[CutFile], shards: Sequence[Shard]) -> None:
    """Raise `StorageError` when the disk has no room for the cut files and shards that are not written yet."""
    if is_store(plan.folder):
        return
    units = sum(cut.parts[0].tokens for file in files if not file.path.exists() for cut in file.cuts)
    windows = sum(task.stop - task.start for task in shards if not task.path.exists())
    budget = sum(plan.recipe.windows) * plan.recipe.window
    tokens = min(units, budget) + windows * plan.recipe.window
    _require(plan.folder, tokens * plan.dtype.itemsize, "cutting and assembling")


@contextmanager
def explain_full_disk(plan: Plan) -> Iterator[None]:
    """Add to the `StorageError` of a full disk how much the build needs in all."""
    try:
        yield
    except StorageError as error:
        if is_store(plan.folder) or getattr(error.__cause__, "errno", None) not in FULL:
            raise
        recipe = with_vocabulary(plan.recipe, plan.tokenizer)
        peak, used, free = disk_bytes(recipe), used_bytes(plan.folder), free_bytes(plan.folder)
        raise StorageError(
            f"{error}. The build needs about {peak:,} bytes at its peak; it has written {used:,}, and {free:,} are "
            "free. Free the difference, then run the same command again; finished work is kept"
        ) from error


def _require(folder: Path, needed: int, what: str) -> None:
    free = free_bytes(folder)
    if needed > free:
        raise StorageError(
            f"{folder}: {what} needs at least {needed:,} bytes more, {free:,} are free. Free {needed - free:,} or "
            "more, or choose --out on another disk, then run the same command again; finished work is kept"
        )

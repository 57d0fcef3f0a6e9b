"""What a build will need: disk, memory and open files, from the recipe alone. Estimates, meant to be a little too high.

Measured (Python 3.11, Linux, 2 cores) on `build-mix --recipe sample` at 300k and 1M tokens with the work folder kept:

- a unit file holds 2 bytes a token and 68 to 164 a document, id and url; its run 12 bytes a key, 17 keys each;
- a document's row in its table takes 36 to 64 bytes, zstd, and 8 in the index beside it;
- the process that reads from the hub peaks at 61 MB, with the bytes that are ahead;
- a process that does all by itself peaks at 425 MB, at 532 with 120 MB of text in one source and a shard of 49; a dask
  worker at 385 to 484 MB (numba, Arrow, datatrove); the process that holds the cluster at 275 MB; learning a tokenizer
  takes 1.1 bytes a byte of sample (23 to 124 MB);
- dedup (`python -m benchmarks.index`, a tenth of the documents repeated): a range of keys is searched in 208 MB, the
  walk takes 36 bytes a document at 10 million, most of them pages of mapped files, 29 a document on the disk;
- open files: 13 with one process, for 1 shard and for 59; with 2 workers 46 in the process that holds the cluster, with
  4 workers 68, and 26 in a worker.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gpts_data.mixer.format.layout import SIDECAR
from gpts_data.mixer.plan import Plan
from gpts_data.mixer.recipe import Recipe
from gpts_data.mixer.stages.assemble import Shard
from gpts_data.mixer.stages.cut import SLOTS, Cut
from gpts_data.mixer.stages.dedup_index import RANGE_KEYS
from gpts_data.mixer.stages.rounds import FIRST_RATE, MARGIN
from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.readers.verified_file import SPOOL_BYTES
from gpts_data.pipelines.storage.disk import free_bytes, used_bytes
from gpts_data.pipelines.storage.paths import is_store

TOKENS_PER_DOCUMENT = 700  # short for prose, so that documents are not too few: the sample has 1,288
BYTES_PER_TOKEN = 3.4  # of text, at 4,096 entries
ID_BYTES = 2
UNIT_DOCUMENT_BYTES = 170
KEY_BYTES = 12
INDEX_DOCUMENT_BYTES = 36  # memory, and at most as much on the disk
TABLE_DOCUMENT_BYTES = 70
OVERREAD = MARGIN / BYTES_PER_TOKEN / FIRST_RATE  # 1.24: what the first round reads where nothing is dropped

PROCESS_BYTES = 500_000_000
READER_BYTES = 80_000_000
CLUSTER_BYTES = 300_000_000  # of the process that holds the local cluster
SEARCH_KEY_BYTES = 52  # of a range
COPIES_HELD_OUT = 3  # hold_out has the pieces, the whole and its bytes at once

STEP_FILES = 32
CLUSTER_FILES = 32
WORKER_FILES = 16  # sockets and pipes, in the process that holds the cluster


@dataclass(frozen=True)
class Resources:
    """Bytes at the peak, on disk and in memory of all processes together; `open_files` of the one that holds most."""

    documents: int
    disk_bytes: int
    memory_bytes: int
    index_bytes: int
    """The part of `memory_bytes` that does not depend on the workers and grows with the documents: dedup's walk."""
    process_bytes: int
    """What one worker more would add to `memory_bytes`."""
    open_files: int


def estimate_resources(recipe: Recipe, workers: int = 1, text_tokens: int | None = None) -> Resources:
    """What building `recipe` with `workers` processes on one machine needs.

    `text_tokens`: of the text that there is, where sources are repeated; else the mix's.
    """
    documents = -(-_text_tokens(recipe, text_tokens) // TOKENS_PER_DOCUMENT)
    index = documents * INDEX_DOCUMENT_BYTES if _keys(recipe) else 0
    reader = READER_BYTES if any(source.dataset for source in recipe.source) else 0
    process = PROCESS_BYTES + reader + _largest_step(recipe)
    cluster = CLUSTER_BYTES if workers > 1 else 0
    return Resources(
        documents=documents,
        disk_bytes=disk_bytes(recipe, text_tokens),
        memory_bytes=workers * process + cluster + recipe.tokenizer.sample + index,
        index_bytes=index,
        process_bytes=process,
        open_files=open_files(workers),
    )


def disk_bytes(recipe: Recipe, text_tokens: int | None = None) -> int:
    """The peak, just before the work is removed: all stages together."""
    return sum(disk_by_stage(recipe, text_tokens).values())


def disk_by_stage(recipe: Recipe, text_tokens: int | None = None) -> dict[str, int]:
    """What lies on the disk at the peak: sample, what is kept of hub files, unit and cut files, the mix."""
    windows = sum(recipe.windows)
    tokens = windows * recipe.window
    once = _text_tokens(recipe, text_tokens)
    documents = once / TOKENS_PER_DOCUMENT
    held_out = recipe.validation.fraction * tokens * ID_BYTES
    cut = tokens * ID_BYTES + windows * SLOTS.itemsize
    shards = tokens * ID_BYTES + windows * SIDECAR.itemsize
    mix = shards + documents * TABLE_DOCUMENT_BYTES + held_out + documents * INDEX_DOCUMENT_BYTES
    return {
        "sample": recipe.tokenizer.sample,
        "hub files": int(_kept(recipe)),
        "units": int(_unit_files(recipe, once)),
        "cut": int(cut),
        "mix": int(mix),
    }


def _text_tokens(recipe: Recipe, text_tokens: int | None) -> int:
    return sum(recipe.windows) * recipe.window if text_tokens is None else text_tokens


def _kept(recipe: Recipe) -> int:
    """Of hub files: what the sample was drawn from, compressed and before cleaning, and the spool of whole files."""
    hub = [source for source in recipe.source if source.dataset]
    spool = SPOOL_BYTES if any(source.integrity == "sha256" for source in hub) else 0
    return (recipe.tokenizer.sample if hub else 0) + spool


def open_files(workers: int) -> int:
    """Of the process that holds most, twice what was measured. Units and shards do not count: a step has four at most.

    `prepare` reads one file and writes one, `cut` maps its parts one after the other, `assemble` a cut file and its
    index (two of them while it goes from one to the next), `decide` one unit.
    """
    return STEP_FILES + (CLUSTER_FILES + WORKER_FILES * workers if workers > 1 else 0)


def _unit_files(recipe: Recipe, tokens: int) -> float:
    """All documents that are prepared, kept or not: 3.0 bytes a token of the mix, and the end of each last unit."""
    each = ID_BYTES + (UNIT_DOCUMENT_BYTES + KEY_BYTES * recipe.dedup.n_keys) / TOKENS_PER_DOCUMENT
    rest = len(recipe.source) * recipe.unit / BYTES_PER_TOKEN
    return (tokens * OVERREAD + rest) * each


def _largest_step(recipe: Recipe) -> int:
    """What the largest step of a worker adds: a shard, the windows of a unit, a source's held-out documents, or a range
    of keys."""
    shard = min(recipe.shard_windows, sum(recipe.windows)) * recipe.window * ID_BYTES
    unit = 2 * int(recipe.unit / BYTES_PER_TOKEN) * ID_BYTES
    held_out = int(max(recipe.windows) * recipe.window * recipe.validation.fraction) * ID_BYTES * COPIES_HELD_OUT
    keys = _keys(recipe) * sum(_documents(recipe, windows) for windows in recipe.windows)
    return max(shard, unit, held_out, min(keys, RANGE_KEYS) * SEARCH_KEY_BYTES)


def _documents(recipe: Recipe, windows: int) -> int:
    """In the mix, held-out ones among them."""
    return -(-windows * recipe.window // TOKENS_PER_DOCUMENT)


def _keys(recipe: Recipe) -> int:
    """Keys a document has, at most."""
    names = 2 if recipe.dedup.url and any(source.id or source.url for source in recipe.source) else 0
    return recipe.dedup.exact + names + (recipe.dedup.minhash.buckets if recipe.dedup.minhash else 0)


FULL = (errno.ENOSPC, errno.EDQUOT)


def room_to_begin(plan: Plan) -> None:
    """Raise `StorageError` when the disk cannot hold the ids three times, counting what is there of them."""
    if is_store(plan.folder):
        return
    tokens = sum(plan.recipe.windows) * plan.recipe.window
    copies = 2 if plan.keep_units else 3
    _require(plan, copies * tokens * ID_BYTES - used_bytes(plan.folder), "the build")


def room_to_cut(plan: Plan, cuts: Sequence[Cut], shards: Sequence[Shard]) -> None:
    """Raise `StorageError` when cuts and shards that are not there yet have no room."""
    if is_store(plan.folder):
        return
    units = sum(task.parts[0].tokens for task in cuts if not task.path.exists())
    windows = sum(task.stop - task.start for task in shards if not task.path.exists())
    budget = sum(plan.recipe.windows) * plan.recipe.window
    _require(plan, (min(units, budget) + windows * plan.recipe.window) * ID_BYTES, "cutting and assembling")


@contextmanager
def explain_full_disk(plan: Plan) -> Iterator[None]:
    """Add to a full disk's `StorageError` what the build needs in all."""
    try:
        yield
    except StorageError as error:
        if is_store(plan.folder) or getattr(error.__cause__, "errno", None) not in FULL:
            raise
        wanted, there, free = disk_bytes(plan.recipe), used_bytes(plan.folder), free_bytes(plan.folder)
        raise StorageError(
            f"{error}. The build takes about {wanted:,} bytes at its peak, {there:,} are there, {free:,} are free"
        ) from error


def _require(plan: Plan, needed: int, what: str) -> None:
    free = free_bytes(plan.folder)
    if needed > free:
        raise StorageError(
            f"{plan.folder}: {what} takes {needed:,} bytes more at least, {free:,} are free. Free {needed - free:,} or "
            "more, or choose --out on another disk, then run the same command again; finished work is kept"
        )

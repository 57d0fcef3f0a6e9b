"""Compiles the kernels of a build once per machine, before its workers start.

Numba compiles a kernel when it is first called. On a machine without compiled kernels each worker would compile all of
them, all workers at once. Here this process calls them first, on a few made documents and with the recipe's settings,
and the workers load the machine code from numba's cache.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
from numba.core import event

from gpts_data import pipelines
from gpts_data.mixer.recipe import Recipe
from gpts_data.mixer.schedule.source_order import find_source_order
from gpts_data.pipelines.dedup.greedy import decide
from gpts_data.pipelines.dedup.signatures import signer
from gpts_data.pipelines.filters.cleaner import FAST_FILTERS, get_cleaner
from gpts_data.pipelines.kernel import KERNELS, cache_folder
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import json_digest
from gpts_data.pipelines.text.hashing import hash_strings, is_blank
from gpts_data.tokenizer.bpe import CHECK_CHARACTERS, train_bpe_by_counting

STAGE = "kernels"
LOCK_SECONDS = 300.0  # longest wait for another process that compiles the same kernels
UNCACHED = (
    "compiled kernels cannot be kept, because numba finds no folder that it can write to: every run compiles them "
    "again, which takes up to a minute; set NUMBA_CACHE_DIR to a folder that can be written"
)
_PARAGRAPH = (
    "Hello world, this is the text of a document. It has 3 sentences (and more), don't you see?\n\nVisit "
    "https://example.com/x?y=1 now; naïve – “quoted” words… 10% of $5, e.g. 漢字 and xx-yy/zz.\n- item\n"
)
TEXTS = [_PARAGRAPH * 5, _PARAGRAPH, "A short text.", ""]

log = logging.getLogger("gpts_data")


def compile_kernels(recipe: Recipe, progress: Progress, trains: bool = False) -> None:
    """Compile the kernels that a build of the recipe calls, unless an earlier build here did.

    trains: the build trains a tokenizer.

    A file in numba's cache says that it was done for these sources, this numba and these filters. When numba has no
    folder for its cache, this is logged once, and each process compiles for itself.
    """
    folder = cache_folder()
    if not KERNELS:  # numba is switched off
        return
    if folder is None:
        log.warning(UNCACHED)
        return
    # The ending is that of numba's index files, which are removed together.
    marker = folder / f"gpts-data-{_digest(recipe, trains)[:16]}.nbi"
    if marker.exists():
        return
    with _one_process(folder):
        if not marker.exists():
            with _reported(progress), _no_garbage_collection():
                call_kernels(recipe)
                _call_serial_kernels(recipe, trains)
            _mark(marker)


def call_kernels(recipe: Recipe) -> None:
    """Call the kernels of PREPARE and of the training order as the tasks of this recipe do, on a few documents."""
    names = pa.array([str(number) for number in range(len(TEXTS))], pa.string())
    batch = pa.RecordBatch.from_arrays([pa.array(TEXTS, pa.string()), names, names], names=["text", "id", "url"])
    for clean in dict.fromkeys(map(recipe.cleaning, recipe.source)):
        for name in clean.filters:  # each alone: after another one, no document might be left
            if name in FAST_FILTERS and clean.engine == "numba":
                get_cleaner(replace(clean, filters=(name,), min_characters=0, max_characters=0)).clean(batch)
    signer(recipe.dedup).sign(batch, recipe.names[0])
    hash_strings(names, 0)
    is_blank(names)
    if recipe.decontaminate:
        from gpts_data.pipelines.decontaminate.ngram_matcher import NgramMatcher, build_ngrams

        ngram = recipe.decontaminate.ngram
        NgramMatcher(build_ngrams(batch.column("text"), ngram), ngram).find(batch.column("text"))
    find_source_order(recipe.stages)


def _call_serial_kernels(recipe: Recipe, trains: bool) -> None:
    """Call the kernels that the process of the build needs itself: for the walk of dedup, and to train a tokenizer."""
    keys, tokens = np.arange(1, 3, dtype=np.uint64).reshape(1, 2), np.ones(1, np.uint32)
    tokens.flags.writeable = False  # as those of a mapped unit file
    decide(keys, tokens, np.zeros(1, np.bool_), budget=1)
    if trains and recipe.tokenizer.sample > CHECK_CHARACTERS:  # else `tokenizers` does it
        train_bpe_by_counting([TEXTS], vocab_size=300)


def _digest(recipe: Recipe, trains: bool) -> str:
    """Digest of what decides which kernels are compiled, and to what."""
    folder = Path(pipelines.__path__[0])
    sources = [(str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*.py"))]
    machine = [numba.__version__, sys.version, *KERNELS[0].targetctx.codegen().magic_tuple()]  # as numba's cache
    cleans = [recipe.cleaning(source) for source in recipe.source]
    fast = {name for clean in cleans for name in clean.filters if name in FAST_FILTERS and clean.engine == "numba"}
    rules = [recipe.dedup.exact, recipe.dedup.minhash is not None, recipe.decontaminate is not None, trains]
    return json_digest([machine, sources, sorted(fast), rules])


@contextmanager
def _one_process(folder: Path) -> Iterator[None]:
    """Let one process at a time compile: two that write one index file of numba's cache lose entries."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / "gpts-data.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except (OSError, NotImplementedError, Timeout) as error:  # a file system without locks, or a process that hangs
        log.debug("kernels are compiled without a lock: %s", error)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off: it takes a tenth of the time, and what numba makes has few cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def _reported(progress: Progress) -> Iterator[None]:
    """Say so, and report progress, as soon as numba compiles something rather than loads it."""
    listener = _CompilationListener(progress)
    with event.install_listener("numba:compile", listener):
        yield
    if listener.compiled:
        progress(STAGE, "", len(KERNELS), len(KERNELS))


class _CompilationListener(event.Listener):  # type: ignore[misc]
    def __init__(self, progress: Progress) -> None:
        self.compiled = False
        self._progress = progress

    def on_start(self, _: Any) -> None:
        if not self.compiled:
            log.info("compiling kernels, on the first run only")
        self.compiled = True

    def on_end(self, _: Any) -> None:
        done = sum(bool(kernel.signatures) for kernel in KERNELS)
        self._progress(STAGE, "", min(done, len(KERNELS) - 1), len(KERNELS), "compiling, first run only")


def _mark(marker: Path) -> None:
    try:
        marker.touch()
    except OSError as error:
        log.debug("the next build looks for compiled kernels again: %s", error)

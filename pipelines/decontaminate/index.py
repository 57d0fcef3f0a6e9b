"""Decontamination: documents that contain text of benchmarks are left out of the mix.

    build_index        writes the n-grams of all benchmarks into a folder of the build, once
    get_matcher        finds the n-grams that a document contains, while it is prepared; depends only on its text
    BoilerplateGuard   judges in canonical order: a document with n-grams is contaminated, unless they are boilerplate

A document matches if it contains `ngram` (13) consecutive words of a benchmark's text; case, accents and punctuation
are ignored, digits are not. A text of fewer words is searched for as a whole, down to 8 words. Not searched for:
shorter texts, which are all arithmetic and half of BLiMP's sentences; paraphrases and translations; questions in which
every 13 consecutive words were changed.

Why 8, as in GPT-3: of the questions and answers of HellaSwag, ARC-Easy and PIQA, 125 MB of prose contain 2 with 8 words
("the level of carbon dioxide in the blood"), 4 with 7 words, 14 with 6 and 47 with 5; with answers joined to questions,
none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.decontaminate.benchmarks import Benchmark, check_benchmark, read_items
from gpts_data.pipelines.decontaminate.ngram_matcher import MIN_WORDS, NgramMatcher, Ngrams, build_ngrams, text_of
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.readers.source import Listing
from gpts_data.pipelines.storage.atomic_files import atomic_write
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum_so_far
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.pipelines.storage.store_file import open_arrow

VERSION = 2  # of the n-grams; units prepared with another version are prepared again
_MAX_BENCHMARKS = 10_000  # outcomes of documents, of which each benchmark is one, have 16 bits
_MAX_WORDS = 255  # of an n-gram: the index stores its length in one byte
_NGRAMS, _TEXTS, RECEIPT = "ngrams.arrow", "texts.arrow", "receipt.json"


@dataclass(frozen=True)
class Decontaminate:
    """The `[decontaminate]` table: which benchmarks must not be in the mix."""

    benchmark: tuple[Benchmark, ...] = ()
    """The benchmarks whose texts must not be in the mix, one table each."""
    ngram: int = 13
    """A document with this many consecutive words of a benchmark's text is dropped. Shorter texts must match whole."""
    max_documents: int = 10
    """An n-gram that this many earlier documents contain is boilerplate and no longer a reason to drop a document."""


class BenchmarkCounts(TypedDict):
    """A benchmark's number of items, of items with an n-gram that is searched for, and of distinct n-grams."""

    items: int
    searched: int
    ngrams: int


class IndexReceipt(TypedDict):
    """The receipt of the index of all benchmarks."""

    key: str
    benchmarks: dict[str, BenchmarkCounts]
    files: dict[str, Checksum]
    """Of the files of n-grams and of texts, by name."""


@dataclass(frozen=True)
class NgramOrigin:
    """Where an n-gram comes from: the benchmark's name, the item (`<file>:<row>`), and its words as written there."""

    benchmark: str
    item: str
    ngram: str


def check_decontaminate(config: Decontaminate) -> None:
    """Raise `RecipeError` for a table with impossible values."""
    if not config.benchmark:
        raise RecipeError("decontaminate: no [[decontaminate.benchmark]]; expected at least one to look for")
    if len(config.benchmark) > _MAX_BENCHMARKS:
        raise RecipeError(f"decontaminate: {len(config.benchmark):,} benchmarks, expected at most {_MAX_BENCHMARKS:,}")
    names = [benchmark.name for benchmark in config.benchmark]
    if len(set(names)) < len(names):
        raise RecipeError(f"decontaminate: benchmark names must differ; found {', '.join(names)}")
    if not 1 <= config.ngram <= _MAX_WORDS:
        raise RecipeError(f"decontaminate.ngram = {config.ngram}, expected 1 to {_MAX_WORDS} words")
    if config.max_documents < 1:
        raise RecipeError(f"decontaminate.max_documents = {config.max_documents}, expected 1 or more")
    for benchmark in config.benchmark:
        check_benchmark(benchmark)


def build_index(
    config: Decontaminate, listings: Sequence[Listing], folder: AnyPath, key: str, fetch_options: FetchOptions
) -> dict[str, BenchmarkCounts]:
    """Write the n-grams of all benchmarks into `folder` unless a receipt with `key` is there.

    listings: the files of each benchmark. Returns the counts by benchmark name; an n-gram of several benchmarks belongs
    to the first. Raises as `read_items` does, and `RecipeError` for a benchmark without any n-gram of its own.
    """
    receipt = read_receipt(folder / RECEIPT, key, IndexReceipt)
    if receipt and all_intact("benchmarks", {folder / name: file for name, file in receipt["files"].items()}):
        return dict(receipt["benchmarks"])
    (folder / RECEIPT).unlink(missing_ok=True)
    texts = _texts(config, listings, fetch_options)
    ngrams = build_ngrams(texts.column("text").combine_chunks(), config.ngram)
    counts = _counts(config, texts, ngrams)
    files = {
        _TEXTS: _write(folder / _TEXTS, texts),
        _NGRAMS: _write(folder / _NGRAMS, pa.table(ngrams._asdict())),
    }
    write_receipt(folder / RECEIPT, IndexReceipt(key=key, benchmarks=counts, files=files))
    return counts


def _texts(config: Decontaminate, listings: Sequence[Listing], fetch_options: FetchOptions) -> pa.Table:
    """One row per text: `benchmark` (its number), `item`, `text`. An item without texts has one row with a null, so
    that it is counted."""
    rows: list[tuple[int, str, str | None]] = []
    for number, (benchmark, listing) in enumerate(zip(config.benchmark, listings, strict=True)):
        for item in read_items(benchmark, listing, fetch_options):
            rows += [(number, item.place, text) for text in item.texts or [None]]  # type: ignore[list-item]
    numbers, items, texts = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "benchmark": pa.array(numbers, pa.uint32()),
            "item": pa.array(items, pa.string()),
            "text": pa.array(texts, pa.large_string()),
        }
    )


def _counts(config: Decontaminate, texts: pa.Table, ngrams: Ngrams) -> dict[str, BenchmarkCounts]:
    benchmarks = texts.column("benchmark").to_numpy()
    items = np.array(texts.column("item").to_pylist(), np.object_)
    counts: dict[str, BenchmarkCounts] = {}
    for number, benchmark in enumerate(config.benchmark):
        searched_texts = ngrams.texts[benchmarks[ngrams.texts] == number]
        n_items = len(set(items[benchmarks == number]))
        if not len(searched_texts):
            raise RecipeError(
                f"benchmark {benchmark.name!r}: nothing to look for: of its {n_items:,} items, none has a text of "
                f"{min(config.ngram, MIN_WORDS)} words that no benchmark before it has; join columns "
                '("question + answer"), or leave this benchmark out'
            )
        n_searched = len(set(items[searched_texts]))
        counts[benchmark.name] = {"items": n_items, "searched": n_searched, "ngrams": len(searched_texts)}
    return counts


def _write(path: AnyPath, table: pa.Table) -> Checksum:
    with atomic_write(path) as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)
        return checksum_so_far(file)


def _read(path: AnyPath) -> pa.Table:
    with open_arrow(path) as file, pa.ipc.open_file(file) as reader:
        return reader.read_all()


@lru_cache(maxsize=2)
def get_matcher(folder: AnyPath, n: int) -> NgramMatcher:
    """The matcher of an index, loaded once per process. The folder's name contains the key of the index."""
    table = _read(folder / _NGRAMS)
    return NgramMatcher(Ngrams(*(table.column(name).to_numpy() for name in Ngrams._fields)), n)


def origins(config: Decontaminate, folder: AnyPath, numbers: Sequence[int]) -> list[NgramOrigin]:
    """Where the n-grams with these numbers in the index of `folder` come from."""
    ngrams, texts = _read(folder / _NGRAMS), _read(folder / _TEXTS)
    ngram_origins = []
    for ngram in ngrams.select(["texts", "starts", "lengths"]).take(pa.array(numbers, pa.int64())).to_pylist():
        text = texts.slice(ngram["texts"], 1).to_pylist()[0]
        words = text_of(text["text"], ngram["starts"], ngram["lengths"])
        ngram_origins.append(NgramOrigin(config.benchmark[text["benchmark"]].name, text["item"], words))
    return ngram_origins


def benchmark_numbers(folder: AnyPath) -> NDArray[np.uint32]:
    """The number of the benchmark of each n-gram of an index: uint32, shape (n-grams,)."""
    benchmarks = _read(folder / _TEXTS).column("benchmark").to_numpy()
    numbers: NDArray[np.uint32] = benchmarks[_read(folder / _NGRAMS).column("texts").to_numpy()]
    return numbers


class BoilerplateGuard:
    """Judges in canonical order which documents are contaminated: those with an n-gram that fewer than `max_documents`
    earlier documents contain.

    GPT-3 ignores n-grams that more than 10 documents of the whole corpus contain. Here the first ten documents are
    dropped and later ones kept, so reading more never changes an earlier verdict. Memory: 4 bytes per n-gram.
    """

    def __init__(self, max_documents: int) -> None:
        self._max_documents = max_documents
        self._n_documents = np.zeros(1 << 10, np.uint32)  # by n-gram

    def judge(self, matches: pa.ListArray) -> NDArray[np.int64]:
        """The n-gram that makes each of the next documents contaminated, the first in its text; -1 for none.

        matches: list<uint32>, the n-grams of each document, from `NgramMatcher.find`. Returns int64, one per document.
        """
        verdicts = np.full(len(matches), -1, np.int64)
        for row, ngrams in _matched_rows(matches):
            self._grow(int(ngrams.max()))
            rare = ngrams[self._n_documents[ngrams] < self._max_documents]
            if len(rare):
                verdicts[row] = rare[0]
            self._n_documents[ngrams] += 1
        return verdicts

    def undo(self, matches: pa.ListArray, over_budget: NDArray[np.bool_]) -> None:
        """Forget those documents of the last batch that are over budget: later verdicts must not depend on how many
        documents were read."""
        for row, ngrams in _matched_rows(matches):
            if over_budget[row]:
                self._n_documents[ngrams] -= 1

    def state(self) -> NDArray[np.uint32]:
        """A copy of what it remembers, for `restore`."""
        return self._n_documents.copy()

    def restore(self, state: NDArray[np.uint32]) -> None:
        """Remember what it did when `state` was returned, and nothing since."""
        self._n_documents = state.copy()

    def _grow(self, ngram: int) -> None:
        size = len(self._n_documents)
        if ngram >= size:
            self._n_documents = np.concatenate([self._n_documents, np.zeros(max(ngram + 1, size), np.uint32)])


def _matched_rows(matches: pa.ListArray) -> list[tuple[int, NDArray[np.uint32]]]:
    """The few documents that have n-grams: row number and n-grams."""
    offsets, ngrams = matches.offsets.to_numpy(), matches.values.to_numpy()
    return [(int(row), ngrams[offsets[row] : offsets[row + 1]]) for row in np.flatnonzero(np.diff(offsets))]

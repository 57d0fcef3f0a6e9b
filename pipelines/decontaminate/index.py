"""DECONTAMINATE: documents that contain benchmark questions are not in the mix.

    index       the n-grams of all benchmarks, in a folder of the build, once
    finder      of each document the n-grams it contains, while it is prepared: depends on nothing but its text
    Guard       the verdict, in canonical order: contaminated, unless its n-grams are boilerplate by then

Found is a run of `ngram` words (13) of a benchmark's text whatever its case, accents and punctuation; digits count. A
text of fewer words is looked for as a whole, down to 8 words. Not looked for: shorter texts, so all of arithmetic and
half of BLiMP's sentences; paraphrases, translations, and questions whose every 13 words were touched.

Why 8 (GPT-3's too): in 125 MB of prose, of the questions and answers of HellaSwag, ARC-Easy and PIQA, 2 of 8 words are
found ("the level of carbon dioxide in the blood"), 4 of 7, 14 of 6, 47 of 5; with answers joined to questions, none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
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
from gpts_data.pipelines.storage.paths import AnyPath, open_arrow
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt

VERSION = 1  # of the n-grams; units prepared with others are done again
_MOST = 255  # words of an n-gram: a byte each in the table
_NGRAMS, _TEXTS, RECEIPT = "ngrams.arrow", "texts.arrow", "receipt.json"


@dataclass(frozen=True)
class Decontaminate:
    """The `[decontaminate]` table."""

    benchmark: tuple[Benchmark, ...] = ()
    """What must not be in the mix, a table each."""
    ngram: int = 13
    """Words in a row that condemn a document; a shorter text is looked for as a whole."""
    max_documents: int = 10
    """An n-gram that so many documents had before is boilerplate."""


class BenchmarkCounts(TypedDict):
    """How much of a benchmark documents are searched for."""

    items: int
    searched: int
    ngrams: int


class IndexReceipt(TypedDict):
    """Receipt of the index of all benchmarks."""

    key: str
    benchmarks: dict[str, BenchmarkCounts]


@dataclass(frozen=True)
class NgramOrigin:
    """Where an n-gram comes from: which benchmark and item (`<file>:<row>`), and its words as they stand there."""

    benchmark: str
    item: str
    ngram: str


def check_decontaminate(wanted: Decontaminate) -> None:
    """Raise `RecipeError` for a table that cannot be meant."""
    if not wanted.benchmark:
        raise RecipeError("decontaminate: no [[decontaminate.benchmark]]; expected at least one to look for")
    names = [benchmark.name for benchmark in wanted.benchmark]
    if len(set(names)) < len(names):
        raise RecipeError(f"decontaminate: benchmark names must differ; found {', '.join(names)}")
    if not 1 <= wanted.ngram <= _MOST:
        raise RecipeError(f"decontaminate.ngram = {wanted.ngram}, expected 1 to {_MOST} words")
    if wanted.max_documents < 1:
        raise RecipeError(f"decontaminate.max_documents = {wanted.max_documents}, expected 1 or more")
    for benchmark in wanted.benchmark:
        check_benchmark(benchmark)


def index(
    wanted: Decontaminate, listings: Sequence[Listing], folder: AnyPath, key: str, fetch_options: FetchOptions
) -> dict[str, BenchmarkCounts]:
    """Write the n-grams of all benchmarks into `folder` unless they are there. Returns by benchmark: `items`, those
    that are `searched` for, having an n-gram, and their distinct `ngrams`; what two share is the earlier one's.

    Raises as `read_items` does, and `RecipeError` for a benchmark without any n-gram.
    """
    if receipt := read_receipt(folder / RECEIPT, key, IndexReceipt):
        return dict(receipt["benchmarks"])
    texts = _texts(wanted, listings, fetch_options)
    ngrams = build_ngrams(texts.column("text").combine_chunks(), wanted.ngram)
    facts = _facts(wanted, texts, ngrams)
    _write(folder / _TEXTS, texts)
    _write(folder / _NGRAMS, pa.table({field.name: getattr(ngrams, field.name) for field in fields(Ngrams)}))
    write_receipt(folder / RECEIPT, {"key": key, "benchmarks": facts})
    return facts


def _texts(wanted: Decontaminate, listings: Sequence[Listing], fetch_options: FetchOptions) -> pa.Table:
    """A row a text: `benchmark` (its number), `item`, `text`; an item without any text has a null, to be counted."""
    rows: list[tuple[int, str, str | None]] = []
    for number, (benchmark, listing) in enumerate(zip(wanted.benchmark, listings, strict=True)):
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


def _facts(wanted: Decontaminate, texts: pa.Table, ngrams: Ngrams) -> dict[str, BenchmarkCounts]:
    owners, items = texts.column("benchmark").to_numpy(), np.array(texts.column("item").to_pylist(), np.object_)
    facts: dict[str, BenchmarkCounts] = {}
    for number, benchmark in enumerate(wanted.benchmark):
        mine = ngrams.texts[owners[ngrams.texts] == number]
        all_items = len(set(items[owners == number]))
        if not len(mine):
            raise RecipeError(
                f"benchmark {benchmark.name!r}: nothing to look for: of its {all_items:,} items, none has a text of "
                f"{min(wanted.ngram, MIN_WORDS)} words that no benchmark before it has; join columns "
                '("question + answer"), or leave it out'
            )
        facts[benchmark.name] = {"items": all_items, "searched": len(set(items[mine])), "ngrams": len(mine)}
    return facts


def _write(path: AnyPath, table: pa.Table) -> None:
    with atomic_write(path) as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def _read(path: AnyPath) -> pa.Table:
    with open_arrow(path) as file, pa.ipc.open_file(file) as reader:
        return reader.read_all()


@lru_cache(maxsize=2)
def finder(folder: AnyPath, n: int) -> NgramMatcher:
    """The finder of an index, kept for the life of the process: its folder has the key in its name."""
    table = _read(folder / _NGRAMS)
    return NgramMatcher(Ngrams(*(table.column(field.name).to_numpy() for field in fields(Ngrams))), n)


def origins(wanted: Decontaminate, folder: AnyPath, numbers: Sequence[int]) -> list[NgramOrigin]:
    """Where these n-grams come from."""
    ngrams, texts = _read(folder / _NGRAMS), _read(folder / _TEXTS)
    found = []
    for ngram in ngrams.select(["texts", "starts", "lengths"]).take(pa.array(numbers, pa.int64())).to_pylist():
        text = texts.slice(ngram["texts"], 1).to_pylist()[0]
        words = text_of(text["text"], ngram["starts"], ngram["lengths"])
        found.append(NgramOrigin(wanted.benchmark[text["benchmark"]].name, text["item"], words))
    return found


def owners(folder: AnyPath) -> NDArray[np.uint32]:
    """Of each n-gram the number of its benchmark."""
    of_text = _read(folder / _TEXTS).column("benchmark").to_numpy()
    found: NDArray[np.uint32] = of_text[_read(folder / _NGRAMS).column("texts").to_numpy()]
    return found


class BoilerplateGuard:
    """Says in canonical order which documents are contaminated: those with an n-gram that fewer than `max_documents`
    documents had before.

    GPT-3's guard ignores n-grams of more than 10 documents of the whole corpus. This one lets the first ten go and
    keeps what comes after, so reading more never changes an earlier verdict. Memory: 4 bytes an n-gram.
    """

    def __init__(self, max_documents: int) -> None:
        self._most = max_documents
        self._had = np.zeros(1 << 10, np.uint32)

    def judge(self, matches: pa.ListArray) -> NDArray[np.int64]:
        """For each of the next documents the n-gram that condemns it, the first in the text; -1 for none.

        matches: list<uint32>, the n-grams of each, as `Finder.find` gives them.
        """
        verdicts = np.full(len(matches), -1, np.int64)
        for row, ngrams in _rows(matches):
            self._grow(int(ngrams.max()))
            rare = ngrams[self._had[ngrams] < self._most]
            if len(rare):
                verdicts[row] = rare[0]
            self._had[ngrams] += 1
        return verdicts

    def undo(self, matches: pa.ListArray, unseen: NDArray[np.bool_]) -> None:
        """Take back the documents of the last batch that are over budget: later ones must not depend on how many were
        read."""
        for row, ngrams in _rows(matches):
            if unseen[row]:
                self._had[ngrams] -= 1

    def _grow(self, ngram: int) -> None:
        if ngram >= len(self._had):
            self._had = np.concatenate([self._had, np.zeros(max(ngram + 1, len(self._had)), np.uint32)])


def _rows(matches: pa.ListArray) -> list[tuple[int, NDArray[np.uint32]]]:
    """The documents that have n-grams: few."""
    ends, ngrams = matches.offsets.to_numpy(), matches.values.to_numpy()
    return [(int(row), ngrams[ends[row] : ends[row + 1]]) for row in np.flatnonzero(np.diff(ends))]

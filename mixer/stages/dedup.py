"""DEDUP: decide which prepared documents are in the mix, source by source in canonical order.

It runs again over everything after each round: a source that got more units only adds documents after its earlier
ones, but the documents of later sources must then be compared with these too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.mixer.format.manifest_types import ExclusionEntry
from gpts_data.mixer.recipe_exclude import ExclusionList
from gpts_data.mixer.stages.dedup_index import Index, index, zeros
from gpts_data.mixer.stages.exclude import EXCLUDED_REASONS, NOT_EXCLUDED, Excluder
from gpts_data.mixer.stages.near_pairs import checked_beforehand
from gpts_data.mixer.stages.similarity import SimilarTexts
from gpts_data.mixer.stages.unit_file import Columns, document_columns
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.decontaminate.index import BoilerplateGuard
from gpts_data.pipelines.dedup.greedy import (
    CONTAMINATED,
    FIRST_DUPLICATE,
    FIRST_EXCLUDED,
    HELD_OUT,
    OVER_BUDGET,
    TRAIN,
    DedupState,
    SimilarityTest,
)
from gpts_data.pipelines.dedup.signatures import REASONS, Dedup
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import get_encoder

OVER_BUDGET_REASON = "over_budget"  # comes after the last document that the source's token budget needed
CONTAMINATED_REASON = "contaminated"  # contains text of a benchmark


@dataclass(frozen=True)
class DedupedUnit:
    """One unit after dedup: a verdict per document, and the unit's place in its source's stream of training tokens."""

    path: AnyPath
    name: str
    codes: NDArray[np.uint8]
    """Verdict per document: pipelines.dedup.greedy.TRAIN and so on."""
    start: int
    """First token of the unit in the source's stream."""
    tokens: int
    """Training tokens of the unit."""
    matched_ngrams: NDArray[np.uint32]
    """For each contaminated document, in order, the benchmark n-gram that it was dropped for."""
    first: int
    """Ordinal of the unit's first document among all documents of the build, in canonical order."""
    duplicate_of: NDArray[np.uint32]
    """For each duplicate, in order, the ordinal of the kept document that it repeats."""
    listed: tuple[int, ...] = ()
    """Documents in each list of `[exclude]`."""
    held_out_tokens: int = 0
    """Tokens of the documents held out for validation."""
    packing: AnyPath | None = None
    """File of the places of its training documents, if the unit is packed (pack_units.py); `start` and `tokens` are
    then whole windows."""

    @property
    def stop(self) -> int:
        return self.start + self.tokens

    def dropped(self) -> Counter[str]:
        """Dropped documents by reason."""
        counts = np.bincount(self.codes, minlength=FIRST_DUPLICATE + len(REASONS)).tolist()
        named = dict(zip((*EXCLUDED_REASONS, *REASONS), counts[FIRST_EXCLUDED:], strict=True))
        return +Counter({**named, OVER_BUDGET_REASON: counts[OVER_BUDGET], CONTAMINATED_REASON: counts[CONTAMINATED]})

    def count(self, code: int) -> int:
        """Documents with the verdict `code`."""
        return int((self.codes == code).sum())


@dataclass(frozen=True)
class HoldOutRule:
    """Which documents of a source are held out: those whose hashed ids (`draw`) are below a limit."""

    fraction: float
    """The share of all hashes that is below the limit; with 0 no document is held out."""
    documents: int = 0
    """With 1 or more, those with the next smallest hashes too, until this many are held out and they fill a window."""
    window: int = 0
    """Tokens of a window."""
    raised: np.uint64 = np.uint64(0)
    """A higher limit, for the documents before the ordinal `stop`."""
    stop: int = 0

    def applies(self, draws: NDArray[np.uint64], first: int) -> NDArray[np.bool_]:
        """Whether each of some documents is held out if it is kept: bool, one per document.

        draws: their hashed ids. first: ordinal of the first of them.
        """
        is_before_stop = np.arange(first, first + len(draws)) < self.stop
        limit = np.uint64(min(int(self.fraction * 2**64), 2**64 - 1))
        is_held_out: NDArray[np.bool_] = (draws < limit) | (is_before_stop & (draws < self.raised))
        return is_held_out

    def is_enough(self, units: Sequence[DedupedUnit]) -> bool:
        """Whether the documents held out of a source are as many as the rule demands."""
        documents, tokens = sum(unit.count(HELD_OUT) for unit in units), sum(unit.held_out_tokens for unit in units)
        is_off = not (self.fraction and self.documents)
        return is_off or (documents >= self.documents and tokens >= self.window)

    def raise_limit(self, units: Sequence[DedupedUnit]) -> HoldOutRule:
        """The rule that holds out enough of the documents that were kept in a source; this one if all are too few."""
        if not units:
            return self
        draws, lengths, ordinals = (np.concatenate(column) for column in zip(*map(_kept_documents, units), strict=True))
        order = np.argsort(draws, kind="stable")
        is_enough = np.cumsum(lengths[order], dtype=np.int64) >= self.window
        is_enough[: self.documents - 1] = False
        if not is_enough.any():
            return self
        last = np.uint64(draws[order[np.argmax(is_enough)]])
        return replace(self, raised=last + np.uint64(1), stop=int(ordinals[-1]) + 1)


def _kept_documents(unit: DedupedUnit) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.int64]]:
    """Hashed ids, tokens and ordinals of the kept documents of a unit, for training and held out."""
    tokens, draws, _ = document_columns(unit.path)
    rows = np.flatnonzero(np.isin(unit.codes, (TRAIN, HELD_OUT)))
    return draws[rows], tokens[rows], unit.first + rows


@dataclass(frozen=True)
class PreparedUnit:
    """One unit before dedup."""

    path: AnyPath
    name: str
    run: AnyPath
    """File of its keys, sorted."""
    n_keys: int


def dedup(
    sources: Sequence[Sequence[PreparedUnit]],
    dedup: Dedup,
    *,
    needed: Sequence[int],
    hold_out: Sequence[HoldOutRule],
    guard: BoilerplateGuard,
    tokenizer: Artifact,
    excluder: Excluder,
    folder: AnyPath,
    scratch: Path,
    engine: Engine,
) -> list[list[DedupedUnit]]:
    """Decide on all documents prepared so far.

    sources: the units of each source, in recipe order.
    needed: training tokens per source.
    hold_out: which documents of each source are held out for validation.
    guard: a new one, which has seen no document.
    tokenizer: of the token ids in the units.
    excluder: of the recipe's `[exclude]`.
    folder, scratch: for the index, as for `dedup_index.index`; removed afterwards.
    """
    units = [unit for source in sources for unit in source]
    with index([unit.run for unit in units], [unit.n_keys for unit in units], folder, scratch, engine) as keys:
        state = DedupState(keys.n_groups, dedup.n_keys, zeros(keys.n_groups, scratch))
        texts = Texts(get_encoder(tokenizer.folder, tokenizer.digest))
        similar, minhash = None, dedup.minhash
        if minhash and minhash.jaccard:
            similar = checked_beforehand(
                SimilarTexts(texts, minhash.ngrams, minhash.jaccard),
                texts,
                keys,
                [unit.path for unit in units],
                dedup,
                tokenizer,
                folder,
                scratch,
                engine,
            )
        walk, columns = _DedupWalk(keys, state, guard, texts, similar, excluder), _columns(units)
        return [walk.source(*source, columns) for source in zip(sources, needed, hold_out, strict=True)]


def _columns(units: Sequence[PreparedUnit]) -> Iterator[Columns]:
    """The columns of one unit after the other, from a store ahead of need."""
    return read_all(document_columns, [unit.path for unit in units], units[0].path if units else Path())


class _DedupWalk:
    """Walks over all units in canonical order, one after the other."""

    def __init__(
        self,
        keys: Index,
        state: DedupState,
        guard: BoilerplateGuard,
        texts: Texts,
        similar: SimilarityTest | None,
        excluder: Excluder,
    ) -> None:
        self._index, self._state, self._guard, self._texts, self._similar = keys, state, guard, texts, similar
        self._excluder = excluder
        self._number = 0

    def source(
        self, units: Sequence[PreparedUnit], needed: int, hold_out: HoldOutRule, columns: Iterator[Columns]
    ) -> list[DedupedUnit]:
        """Decide on the units of the next source, which needs `needed` training tokens, with their `columns`.

        When too few documents are held out, the walk over the source begins again with more of them: later documents
        then fill the budget in their place.
        """
        number, first, guard = self._number, self._state.seen, self._guard.state()
        deduped = self._units(units, needed, hold_out, columns)
        if not hold_out.is_enough(deduped):
            self._number = number
            self._texts.rewind(number)
            self._state.rewind(first)
            self._guard.restore(guard)
            deduped = self._units(units, needed, hold_out.raise_limit(deduped), _columns(units))
        return deduped

    def _units(
        self, units: Sequence[PreparedUnit], needed: int, hold_out: HoldOutRule, columns: Iterator[Columns]
    ) -> list[DedupedUnit]:
        """Decide on the units of a source once. `columns` may go on with those of later units."""
        deduped: list[DedupedUnit] = []
        for unit in units:
            deduped.append(self._unit(unit, next(columns), deduped[-1].stop if deduped else 0, needed, hold_out))
        return deduped

    def _unit(
        self, unit: PreparedUnit, columns: Columns, start: int, needed: int, hold_out: HoldOutRule
    ) -> DedupedUnit:
        tokens, draws, matches = columns
        shared = self._index.of(self._number)
        self._number += 1
        first = self._state.seen
        self._texts.add(unit.path, first)
        exclusions = self._excluder.unit(unit.path)
        kinds = exclusions.kinds if exclusions else np.full(len(tokens), NOT_EXCLUDED, np.uint8)
        is_listed = kinds != NOT_EXCLUDED
        if is_listed.any():  # as if the document were not there: its n-grams are not counted either
            matches = _without(matches, is_listed)
        ngrams = self._guard.judge(matches)
        budget = max(needed - start, 0)
        excluded = (ngrams >= 0) | is_listed
        is_held_out = hold_out.applies(draws, first)
        verdicts = self._state.decide(shared, tokens, is_held_out, excluded, budget, self._similar)
        self._guard.undo(matches, verdicts.codes == OVER_BUDGET)
        codes = np.where(is_listed, FIRST_EXCLUDED + kinds, verdicts.codes)  # also beyond the budget
        return DedupedUnit(
            path=unit.path,
            name=unit.name,
            codes=codes,
            start=start,
            tokens=verdicts.tokens,
            matched_ngrams=ngrams[codes == CONTAMINATED].astype(np.uint32),
            first=first,
            duplicate_of=verdicts.duplicate_of,
            listed=exclusions.documents if exclusions else (),
            held_out_tokens=int(tokens[codes == HELD_OUT].sum()),
        )


def _without(matches: pa.ListArray, rows: NDArray[np.bool_]) -> pa.ListArray:
    """The n-grams of all documents, with none for the documents of `rows`."""
    lengths = np.diff(matches.offsets.to_numpy())
    ngrams = matches.flatten().filter(pa.array(np.repeat(~rows, lengths)))
    offsets = np.concatenate([[0], np.cumsum(np.where(rows, 0, lengths))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), ngrams)


def exclusion_entries(lists: Sequence[ExclusionList], deduped: Sequence[Sequence[DedupedUnit]]) -> list[ExclusionEntry]:
    """The manifest's `exclusions`: the lists of `[exclude]`, and how many documents are in each."""
    documents = [sum(unit.listed[n] for units in deduped for unit in units) for n in range(len(lists))]
    return [
        {**exclusion.digest(), "file": exclusion.file, "documents": count}
        for exclusion, count in zip(lists, documents, strict=True)
    ]


def surviving_tokens(deduped: Sequence[DedupedUnit]) -> int:
    """Training tokens of a source in these units, which are all of its units so far."""
    return deduped[-1].stop if deduped else 0

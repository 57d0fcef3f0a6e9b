"""ROUNDS: prepare units until every source has its budget after dedup.

A round takes each unfilled source's next units, as many as should fill it at the rate its units gave so far. Rounds
depend on the recipe and the texts, never on the workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gpts_data.mixer.plan import Plan, too_short
from gpts_data.mixer.stages.dedup import DedupedUnit, PreparedUnit, dedup, surviving_tokens
from gpts_data.mixer.stages.prepare import Benchmarks, Prepare, UnitReceipt, prepare
from gpts_data.pipelines.decontaminate.index import BoilerplateGuard
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.readers.reader import check_damage_budget, split_units
from gpts_data.pipelines.readers.source import SourceFile, Unit
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import read_receipt
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import get_encoder

FIRST_RATE = 0.25  # surviving tokens per byte of text, until a source's own is known: 3.4 bytes a token, some dropped
MARGIN = 1.05  # a round that falls just short costs another one

Report = Callable[[str, UnitReceipt], None]
"""Called with a source's name and the receipt of each unit that is ready."""


class SourceUnits:
    """One source's units: those taken so far with their receipts, and the files where more come from."""

    def __init__(self, plan: Plan, number: int, tokenizer: Artifact) -> None:
        self.plan, self.tokenizer = plan, tokenizer
        self.source = plan.recipe.source[number]
        self.needed = plan.recipe.windows[number] * plan.recipe.window
        self.receipts: list[UnitReceipt] = []
        self.tasks: list[Prepare] = []
        self.reused = 0  # units that were there before
        wanted, index = plan.recipe.decontaminate, plan.index
        self._benchmarks = Benchmarks(index, wanted.ngram) if wanted and index else None
        self._units = self._all_units(plan.listings[number].files)

    def take(self, missing: int, rate: float) -> list[Prepare]:
        """Tasks for the next units that should hold `missing` surviving tokens; none when the source is exhausted."""
        taken: list[Prepare] = []
        expected = 0.0
        while expected < missing * MARGIN and (unit := next(self._units, None)):
            taken.append(self._task(unit))
            expected += unit.text_bytes * rate
        self.tasks += taken
        return taken

    def is_enough(self, tokens: int) -> bool:
        """Whether the windows of so many tokens are enough, each taken as often as the source may be repeated."""
        return 0 < self.passes(tokens) <= self.source.max_epochs

    def passes(self, tokens: int) -> int:
        """Passes over so many tokens that the budget takes; 0 when they make no window."""
        windows = tokens // self.plan.recipe.window
        return -(-self.needed // self.plan.recipe.window // windows) if windows else 0

    def rate(self, tokens: int) -> float:
        """Surviving tokens per byte of text so far; at least 1 in 1,000, so that a poor stretch does not read it
        all."""
        text_bytes = sum(task.unit.text_bytes for task in self.tasks)
        return max(tokens / text_bytes, 1e-3) if text_bytes else FIRST_RATE

    def prepared(self) -> list[PreparedUnit]:
        return [
            PreparedUnit(task.path, task.unit.name, task.run, receipt["keys"])
            for task, receipt in zip(self.tasks, self.receipts, strict=True)
        ]

    def damaged(self) -> list[str]:
        """`place: fault` of damaged documents so far, in canonical order; of each unit the first."""
        return [place for receipt in self.receipts for place in receipt["damaged"]]

    def _all_units(self, files: Sequence[SourceFile]) -> Iterator[Unit]:
        for file in files:
            yield from split_units(self.source, file, self.plan.recipe.unit, self.plan.fetch_options)

    def _task(self, unit: Unit) -> Prepare:
        key = self.plan.unit_key(self.source, unit, self.tokenizer)
        path = self.plan.units / self.source.name / f"{key[:32]}.arrow"
        clean, dedup = self.plan.recipe.cleaning(self.source), self.plan.recipe.dedup
        return Prepare(
            self.source,
            unit,
            clean,
            dedup,
            self.tokenizer.folder,
            self.tokenizer.digest,
            key,
            path,
            self.plan.fetch_options,
            self.plan.encoder,
            self._benchmarks,
            self.plan.recipe.keep_dropped,
        )


def prepare_until_filled(
    plan: Plan, tokenizer: Artifact, engine: Engine, report: Report
) -> tuple[list[SourceUnits], list[list[DedupedUnit]]]:
    """Prepare and dedup until every source has its budget. Raises `ShortSourceError` for a source that is too short."""
    supplies = [SourceUnits(plan, i, tokenizer) for i in range(len(plan.recipe.source))]
    have = [0] * len(supplies)
    decided: list[list[DedupedUnit]] = []
    while True:
        tasks: dict[AnyPath, tuple[SourceUnits, Prepare]] = {}
        for supply, tokens in zip(supplies, have, strict=True):
            if tokens < supply.needed:
                new = supply.take(supply.needed - tokens, supply.rate(tokens))
                if not new and not supply.is_enough(tokens):
                    found = f"{tokens:,} after cleaning and dedup of all its files"
                    raise too_short(supply.source, supply.needed, found, supply.passes(tokens))
                tasks.update({task.path: (supply, task) for task in new})
        if not tasks:
            return supplies, decided
        _prepare(tasks, engine, report)
        decided = dedup(
            [supply.prepared() for supply in supplies],
            plan.recipe.dedup,
            [supply.needed for supply in supplies],
            plan.recipe.validation.fraction,
            BoilerplateGuard(plan.recipe.decontaminate.max_documents if plan.recipe.decontaminate else 0),
            get_encoder(tokenizer.folder, tokenizer.digest),
            plan.work / "index",
            engine,
        )
        have = [surviving_tokens(units) for units in decided]


def _prepare(tasks: dict[AnyPath, tuple[SourceUnits, Prepare]], engine: Engine, report: Report) -> None:
    for supply, task in tasks.values():
        supply.reused += read_receipt(task.receipt, task.key, UnitReceipt) is not None
    receipts = {}  # results come in any order; two sources may read the same unit, so a key alone is not enough
    for receipt in engine.map(prepare, [task for _, task in tasks.values()]):
        receipts[receipt["source"], receipt["key"]] = receipt
        report(receipt["source"], receipt)
    for supply, task in tasks.values():
        supply.receipts.append(receipts[task.source.name, task.key])
        check_damage_budget(supply.source, supply.damaged(), sum(receipt["n_damaged"] for receipt in supply.receipts))

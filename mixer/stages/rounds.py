"""PREPARE and DEDUP in rounds, until every source has its share of the tokens after dedup.

How many tokens survive cleaning and dedup is known only afterwards. So each round prepares, for every source that is
not filled yet, as many of the next units in draw order (pipelines/readers/draw_order.py) as should fill it at the rate
its units gave so far, and then dedups everything prepared.
The rounds depend on the recipe and the texts, never on the workers.

Quality buckets (recipe_buckets.py) draw the same units in the same order. A unit is read when the first of them takes
it, and prepared for all that are not filled; the others find it prepared when they take it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpts_data.mixer.plan import Plan, too_short
from gpts_data.mixer.recipe_buckets import draw_name
from gpts_data.mixer.stages.dedup import DedupedUnit, HoldOutRule, PreparedUnit, dedup, surviving_tokens
from gpts_data.mixer.stages.exclude import Excluder
from gpts_data.mixer.stages.large_losses import first_advice
from gpts_data.mixer.stages.prepare import Benchmarks, Prepare, PrepareBuckets, prepare_buckets
from gpts_data.mixer.stages.unit_receipt import UnitReceipt
from gpts_data.mixer.stages.waterfall import describe, waterfall
from gpts_data.pipelines.decontaminate.index import BoilerplateGuard
from gpts_data.pipelines.dedup.greedy import check_documents
from gpts_data.pipelines.errors import ShortSourceError
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.readers.draw_order import draw_units
from gpts_data.pipelines.readers.reader import check_damage_budget, split_units
from gpts_data.pipelines.readers.source import SourceFile, Unit
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.receipts import read_receipt
from gpts_data.tokenizer.artifact import Artifact

FIRST_RATE = 0.25  # training tokens per byte of text, for the first round: 3.4 bytes per token, 15% dropped
MARGIN = 1.05  # prepare 5% more than expected: a round that falls just short costs another one

RoundTasks = dict[AnyPath, tuple["SourceUnits", Prepare]]
"""The units taken in a round, by the path of the unit file."""

Report = Callable[[str, UnitReceipt], None]
"""Called for each prepared unit with the name of its source and its receipt."""


class SourceUnits:
    """The units of one source: those taken so far, with their receipts, and those still to come."""

    def __init__(self, plan: Plan, number: int, tokenizer: Artifact) -> None:
        self.plan, self.tokenizer = plan, tokenizer
        self.source = plan.recipe.source[number]
        self.needed = plan.recipe.windows[number] * plan.recipe.window
        self.held_out = plan.recipe.validation.minimum
        """Documents to hold out at least; 0 once the source turned out to be too short for them."""
        self.receipts: list[UnitReceipt] = []
        self.tasks: list[Prepare] = []
        self.reused = 0  # units that an earlier build had prepared
        self._taken: set[str] = set()  # names of units
        self._n_damaged = 0
        config, index = plan.recipe.decontaminate, plan.index
        self._benchmarks = Benchmarks(index, config.ngram) if config and index else None
        self._files_without_units: set[str] = set()
        self.draw_name = draw_name(plan.recipe.source, self.source)
        self.ahead: dict[str, tuple[UnitReceipt, bool]] = {}  # by unit: prepared for another bucket's sake, not taken
        self._units = draw_units(plan.listings[number].files, self._split, plan.recipe.draw, self.draw_name)

    def take(self, missing: int, rate: float) -> list[Prepare]:
        """Tasks for the next units, which should give `missing` training tokens at `rate` tokens per byte of text.

        Returns an empty list when the source has no more units.
        """
        taken: list[Prepare] = []
        expected = 0.0
        while expected < missing * MARGIN and (unit := next(self._units, None)):
            taken.append(self.task(unit))
            self._taken.add(unit.name)
            expected += unit.text_bytes * rate
        self.tasks += taken
        return taken

    def take_kept(self) -> None:
        """Take the next units for as long as an earlier build has prepared them, with their receipts."""
        for task in map(self.task, self._units):
            receipt = read_receipt(task.receipt, task.key, UnitReceipt)
            if receipt is None or not task.accepts(receipt):
                return
            self.tasks.append(task)
            self.add(receipt, reused=True)

    def is_begun(self) -> bool:
        """Whether the next unit has been prepared. It counts as taken from then on."""
        task = next(map(self.task, self._units), None)
        return task is not None and read_receipt(task.receipt, task.key, UnitReceipt) is not None

    def has(self, unit: str) -> bool:
        """Whether the unit of this name was taken, or prepared for another bucket's sake."""
        return unit in self._taken or unit in self.ahead

    def add(self, receipt: UnitReceipt, reused: bool) -> None:
        """Note the receipt of the next unit. Raises `DataError` when the units so far have more damage than allowed."""
        self.receipts.append(receipt)
        self.reused += reused
        self._n_damaged += receipt["n_damaged"]
        if self._n_damaged > self.source.max_damaged:
            check_damage_budget(self.source, self.damaged(), self._n_damaged)

    def is_enough(self, tokens: int) -> bool:
        """Whether `tokens` training tokens fill the budget when the source is repeated as often as it may be."""
        return 0 < self.epochs(tokens) <= self.source.max_epochs

    def epochs(self, tokens: int) -> int:
        """Epochs over `tokens` training tokens that fill the budget; 0 when they do not make one window."""
        windows = tokens // self.plan.recipe.window
        return -(-self.needed // self.plan.recipe.window // windows) if windows else 0

    def rate(self, tokens: int) -> float:
        """Training tokens per byte of text so far.

        At least 1 in 1,000, so that one round never reads the whole source because of a poor stretch.
        """
        text_bytes = sum(task.unit.text_bytes for task in self.tasks)
        return max(tokens / text_bytes, 1e-3) if text_bytes else FIRST_RATE

    def prepared(self) -> list[PreparedUnit]:
        """All units prepared so far, in canonical order."""
        return [
            PreparedUnit(task.path, task.unit.name, task.run, receipt["keys"])
            for task, receipt in self.tasks_and_receipts()
        ]

    def tasks_and_receipts(self) -> list[tuple[Prepare, UnitReceipt]]:
        """All units prepared so far with their receipts, in canonical order."""
        return list(zip(self.tasks, self.receipts, strict=True))

    def damaged(self) -> list[str]:
        """`place: fault` of the first damaged documents of each unit so far, in canonical order."""
        return [place for receipt in self.receipts for place in receipt["damaged"]]

    @property
    def files_read(self) -> int:
        """Number of files that were read from, and of files that were opened and found empty."""
        names = {file.name for task in self.tasks for file in task.unit.file.single_files}
        return len(names | self._files_without_units)

    def _split(self, file: SourceFile) -> list[Unit]:
        units = split_units(self.source, file, self.plan.recipe.unit, self.plan.fetch_options)
        if not units and file.size:  # one of zero bytes is not counted among the files of the source
            self._files_without_units.add(file.name)
        return units

    def task(self, unit: Unit) -> Prepare:
        """The task that prepares a unit."""
        key = self.plan.unit_key(self.source, unit, self.tokenizer)
        return Prepare(
            source=self.source,
            unit=unit,
            clean=self.plan.recipe.cleaning(self.source),
            dedup=self.plan.recipe.dedup,
            tokenizer=self.tokenizer.folder,
            tokenizer_digest=self.tokenizer.digest,
            key=key,
            path=self.plan.units / self.source.name / f"{key[:32]}.arrow",
            fetch_options=self.plan.fetch_options,
            encoder=self.plan.encoder,
            benchmarks=self._benchmarks,
            dtype=self.plan.dtype,
        )


def prepare_until_filled(
    plan: Plan, tokenizer: Artifact, engine: Engine, report: Report
) -> tuple[list[SourceUnits], list[list[DedupedUnit]]]:
    """Prepare and dedup units until every source has its budget.

    Returns the units and their verdicts, per source in recipe order. Raises `ShortSourceError` for a source that is too
    short.
    """
    sources = [SourceUnits(plan, i, tokenizer) for i in range(len(plan.recipe.source))]
    deduped: list[list[DedupedUnit]] = [[] for _ in sources]
    excluder = Excluder(plan.exclusions)
    while (tasks := _next_tasks(sources, deduped)) is not None:
        _prepare(tasks, engine, report)
        check_documents(sum(receipt["kept"] for source in sources for receipt in source.receipts))
        deduped = dedup_units(plan, tokenizer, sources, excluder, engine)
    return sources, deduped


def _next_tasks(sources: Sequence[SourceUnits], deduped: Sequence[Sequence[DedupedUnit]]) -> RoundTasks | None:
    """The next round: for each source that is not filled the units that should fill it, by the path of the unit file.

    None when every source is filled, or exhausted but long enough when repeated. Empty when no more units are needed,
    but a source cannot spare the documents that it should hold out at least: it must train on them.
    """
    tasks: RoundTasks = {}
    errors = []
    is_final = True
    for source, units in zip(sources, deduped, strict=True):
        tokens = surviving_tokens(units)
        if tokens >= source.needed:
            continue
        taken = source.take(source.needed - tokens, source.rate(tokens))
        is_final &= not taken
        if taken or source.is_enough(tokens):
            tasks.update({task.path: (source, task) for task in taken})
        elif source.held_out and source.is_enough(tokens + sum(unit.held_out_tokens for unit in units)):
            source.held_out, is_final = 0, False
        else:
            found = f"{tokens:,} after cleaning and dedup of all its files"
            fall = waterfall(source.receipts, units)
            advice = first_advice(fall["read"], fall["dropped"], source.plan.recipe.cleaning(source.source))
            error = too_short(source.source, source.needed, found, source.epochs(tokens), advice)
            errors.append(f"{error}\nWhat became of its documents:\n{describe(fall)}")
    if errors:  # all sources that are known to be too short by now; others may have units to come
        raise ShortSourceError("\n".join(errors))
    return None if is_final else tasks


def _prepare(tasks: RoundTasks, engine: Engine, report: Report) -> None:
    """Prepare the tasks of a round, and their units for the other unfilled buckets too, so that they are read once."""
    results = {}  # they come in any order; two sources may read the same unit, so the key alone is not enough
    for source, task in tasks.values():
        if task.unit.name in source.ahead:
            results[task.path] = source.ahead.pop(task.unit.name)
            report(source.source.name, results[task.path][0])
    groups = _groups({path: pair for path, pair in tasks.items() if path not in results}, tasks)
    owners = {(source.source.name, task.key): (source, task) for group in groups for source, task in group}
    for group_results in engine.map(prepare_buckets, [PrepareBuckets(tuple(t for _, t in group)) for group in groups]):
        for receipt, reused in group_results:
            source, task = owners[receipt["source"], receipt["key"]]
            if task.path in tasks:
                results[task.path] = receipt, reused
                report(receipt["source"], receipt)
            else:
                source.ahead[receipt["unit"]] = receipt, reused
    for source, task in tasks.values():
        source.add(*results[task.path])


def _groups(missing: RoundTasks, tasks: RoundTasks) -> list[list[tuple[SourceUnits, Prepare]]]:
    """The tasks that are `missing`, those of one unit of quality buckets together, in the order of their first task.

    Each unit has a task for every bucket that is not filled, also if the bucket does not take it in this round. The
    units of a file follow each other: with `integrity = "sha256"` a hub file is then downloaded once.
    """
    files: dict[tuple[str, str], dict[str, list[tuple[SourceUnits, Prepare]]]] = {}
    for source, task in missing.values():
        units = files.setdefault((source.draw_name, task.unit.file.name), {})
        units.setdefault(task.unit.name, []).append((source, task))
    unfilled = {source.source.name: source for source, _ in tasks.values()}.values()
    for (group_name, _), units in files.items():
        for name, group in units.items():
            members = {source.source.name for source, _ in group}
            for source in unfilled:
                if source.draw_name == group_name and source.source.name not in members and not source.has(name):
                    group.append((source, source.task(group[0][1].unit)))
    return [group for units in files.values() for group in units.values()]


def dedup_units(
    plan: Plan, tokenizer: Artifact, sources: Sequence[SourceUnits], excluder: Excluder, engine: Engine
) -> list[list[DedupedUnit]]:
    """Dedup everything prepared so far, from the beginning: a new document may be the first of later duplicates."""
    decontaminate = plan.recipe.decontaminate
    return dedup(
        [source.prepared() for source in sources],
        plan.recipe.dedup,
        needed=[source.needed for source in sources],
        hold_out=[
            HoldOutRule(plan.recipe.validation.fraction, source.held_out, plan.recipe.window) for source in sources
        ],
        guard=BoilerplateGuard(decontaminate.max_documents if decontaminate else 0),
        tokenizer=tokenizer,
        excluder=excluder,
        folder=plan.work / "index",
        scratch=plan.scratch / "index",
        engine=engine,
    )

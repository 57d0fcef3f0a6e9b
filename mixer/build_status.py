"""How far the build in a folder is: read from its plan, its receipts and its lock, without changing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gpts_data.mixer.format.manifest import NAME, read_manifest
from gpts_data.mixer.plan import UNITS
from gpts_data.mixer.plan_file import TOKENIZER_RECEIPT, WORK, read_frozen_plan
from gpts_data.mixer.recipe_stages import recorded_stages
from gpts_data.mixer.schedule.budget import total_windows
from gpts_data.mixer.stages.unit_receipt import UnitReceipt
from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.listing import list_files
from gpts_data.pipelines.storage.lock import is_locked
from gpts_data.pipelines.storage.paths import AnyPath, read_all
from gpts_data.pipelines.storage.receipts import read_any_receipt

FINISHED, GIVEN_UP = "finished", "given up"
TOKENIZER, PREPARE, CUT, SHARDS, OUTCOMES = "tokenizer", "prepare", "cut", "shards", "outcomes"


@dataclass(frozen=True)
class SourceProgress:
    """How much of a source is done."""

    needed: int | None
    """Training tokens that the mix takes of it; None when no plan says."""
    tokens: int
    """Tokens of its prepared units, before deduplication; of a finished mix, tokens in the mix."""
    units: int
    """Prepared units."""


@dataclass(frozen=True)
class BuildStatus:
    """The state of a folder that `build-mix` wrote to."""

    stage: str
    """`finished`; `tokenizer`, `prepare`, `cut`, `shards` or `outcomes` for the stage that a half-finished build is in;
    `given up` when a source was too short, and only prepared units are left."""
    locked: bool
    """Whether a build is at work in the folder now."""
    sources: dict[str, SourceProgress]
    shards: int
    """Shards that are done."""
    shards_total: int | None
    recipe: dict[str, Any] | None
    """The recipe of the plan or manifest with all defaults."""
    has_tokenizer: bool
    """Whether the build was given a tokenizer instead of training one."""
    root_digest: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the mix is complete."""
        return self.stage == FINISHED


def read_status(folder: AnyPath) -> BuildStatus:
    """The state of the mix or build in a folder.

    Raises `UsageError` when there is neither, `VerificationError` when the manifest of the mix is damaged.
    """
    work = folder / WORK
    if (folder / NAME).exists():
        return _finished(folder)
    if not folder.exists():
        raise UsageError(f"{folder} is not a mix or a build: no such folder")
    if not work.exists():
        raise UsageError(f"{folder} is not a mix or a build: it has neither {NAME} nor {WORK}")
    names = list_files(work)
    frozen = read_frozen_plan(work)
    recipe = frozen["recipe"] if frozen else None
    units = list(_unit_receipts(work, names))
    shards = sum(name.startswith("shards/") and name.endswith(".json") for name in names)
    return BuildStatus(
        stage=_stage(names) if recipe else GIVEN_UP,
        locked=is_locked(work),
        sources=_sources(recipe, units),
        shards=shards,
        shards_total=-(-_windows(recipe) // recipe["shard_windows"]) if recipe else None,
        recipe=recipe,
        has_tokenizer=bool(frozen and frozen["tokenizer"]),
    )


def _finished(folder: AnyPath) -> BuildStatus:
    manifest = read_manifest(folder)
    window = manifest["recipe"]["window"]
    counts = {name: source["windows"] * window for name, source in manifest["sources"].items()}
    return BuildStatus(
        stage=FINISHED,
        locked=(folder / WORK).exists() and is_locked(folder / WORK),
        sources={name: SourceProgress(tokens, tokens, 0) for name, tokens in counts.items()},
        shards=len(manifest["shards"]),
        shards_total=len(manifest["shards"]),
        recipe=dict(manifest["recipe"]),
        has_tokenizer=False,
        root_digest=manifest["root_digest"],
    )


def _stage(names: list[str]) -> str:
    """The stage of a half-finished build: the last one that has left a file."""
    for stage in (OUTCOMES, SHARDS, CUT):
        if any(name.startswith(f"{stage}/") for name in names):
            return stage
    return PREPARE if TOKENIZER_RECEIPT in names else TOKENIZER


def _unit_receipts(work: AnyPath, names: list[str]) -> Iterator[UnitReceipt]:
    paths = [work / name for name in names if name.startswith(f"{UNITS}/") and name.endswith(".json")]
    for receipt in read_all(lambda path: read_any_receipt(path, UnitReceipt), paths, work):
        if receipt is not None:
            yield receipt


def _sources(recipe: dict[str, Any] | None, units: list[UnitReceipt]) -> dict[str, SourceProgress]:
    tokens, counts = Counter[str](), Counter(unit["source"] for unit in units)
    for unit in units:
        tokens[unit["source"]] += unit["tokens"]
    needed = _needed(recipe) if recipe else {}
    return {name: SourceProgress(needed.get(name), tokens[name], counts[name]) for name in needed or sorted(counts)}


def _windows(recipe: dict[str, Any]) -> int:
    return total_windows(recipe["tokens"], recipe["window"])


def _needed(recipe: dict[str, Any]) -> dict[str, int]:
    """The training tokens of each source."""
    stages = recorded_stages(recipe, _windows(recipe))
    names = [source["name"] for source in recipe["source"]]
    return {name: sum(stage.windows[i] for stage in stages) * recipe["window"] for i, name in enumerate(names)}

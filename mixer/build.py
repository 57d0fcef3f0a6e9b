"""build-mix: plan, tokenizer, rounds of PREPARE and DEDUP, CUT, ASSEMBLE, manifest.

    build(recipe, ...) ── plan.json ── .build/units ── .build/cut ── shards, documents, validation ── manifest.json

Every step skips what has a receipt, so the same command again goes on where a killed one stopped.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpts_data.mixer.format.manifest import NAME, read_manifest
from gpts_data.mixer.plan import WORK, Plan, difference, make_plan, refuse_short_sources, write_plan
from gpts_data.mixer.planning.resources import explain_full_disk, room_to_begin, room_to_cut
from gpts_data.mixer.recipe import Recipe, resolved
from gpts_data.mixer.schedule.budget import whole_weights
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.mixer.schedule.source_order import find_source_order
from gpts_data.mixer.stages.assemble import Shard, assemble
from gpts_data.mixer.stages.contamination import index_benchmarks
from gpts_data.mixer.stages.cut import Cut, HoldOut, cut, hold_out
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.finalize import finalize
from gpts_data.mixer.stages.rounds import prepare_until_filled
from gpts_data.mixer.train_tokenizer import train_tokenizer
from gpts_data.mixer.workspace import clean_up, discard_plan, locked
from gpts_data.pipelines.errors import ForeignFolderError, ShortSourceError, UsageError
from gpts_data.pipelines.execute import Engine, open_engine
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import json_digest, write_bytes
from gpts_data.pipelines.storage.lock import remove_temporaries
from gpts_data.pipelines.storage.paths import is_inside
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import EncoderName
from gpts_data.tokenizer.untrusted import check_untrusted

log = logging.getLogger("gpts_data")


@dataclass(frozen=True)
class Built:
    """What a build came to."""

    manifest: dict[str, Any]
    """manifest.json, parsed."""
    created: bool
    """False when the folder already held this very mix."""
    units: int = 0
    """That the mix was made from."""
    reused: int = 0
    """Of these, that were there before."""


def build(
    recipe: Recipe, recipe_folder: Path, folder: Path, *, tokenizer: Path | None = None, workers: int = 1,
    scheduler: str | None = None, progress: Progress = lambda *_: None, retry_policy: RetryPolicy = RetryPolicy(),
    encoder: EncoderName = "fast", keep_units: Path | None = None,
) -> Built:  # fmt: skip
    """Build the mix of `recipe` in `folder`, or go on with it. The bytes do not depend on workers or scheduler.

    Prepared units are kept in the folder `keep_units`, if given, and taken from there: another weight, seed, window or
    number of tokens, with the same tokenizer, reads no text again.

    Raises the errors of pipelines.errors: `RecipeError`, `ForeignFolderError`, `DataError`, `SourceUnavailableError`,
    `StorageError`, `LockedError`.
    """
    if keep_units and is_inside(keep_units, folder):
        raise UsageError(f"--keep-units {keep_units}: inside the mix, which verify would then refuse; choose another")
    given = check_untrusted(tokenizer) if tokenizer else None
    if (folder / NAME).exists() and not (folder / WORK).exists():
        return Built(_finished(folder, recipe, given), created=False)
    plan = make_plan(recipe, recipe_folder, folder, given, NAME, retry_policy, encoder, keep_units)
    refuse_short_sources(plan)
    room_to_begin(plan)
    with locked(plan) as still_ours, explain_full_disk(plan):
        if (folder / NAME).exists():  # the last build died while it cleaned up
            manifest = _finished(folder, recipe, given)
            clean_up(plan)
            return Built(manifest, created=False)
        remove_temporaries(folder, plan.units)
        index_benchmarks(plan)  # first, so that one that cannot be read leaves nothing half-done
        write_plan(plan)
        try:
            with open_engine(workers, scheduler, plan.work / "plan.json") as engine:
                show = _after(still_ours, progress)
                trained = _tokenizer(plan, engine, show)
                built = _mix(plan, trained, engine, show)
        except ShortSourceError:
            discard_plan(plan)
            raise
        clean_up(plan)
    return built


def _after(check: Callable[[], None], progress: Progress) -> Progress:
    def show(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        check()
        progress(stage, name, done, total, note)

    return show


def _mix(plan: Plan, tokenizer: Artifact, engine: Engine, progress: Progress) -> Built:
    recipe = plan.recipe
    done: Counter[tuple[str, str]] = Counter()

    def ready(name: str, receipt: dict[str, Any]) -> None:
        for fact in ("tokens", "read", "kept"):
            done[name, fact] += receipt[fact]
        log.debug("%s: %s documents read, %s kept", receipt["unit"], f"{receipt['read']:,}", f"{receipt['kept']:,}")
        dropped = 1 - done[name, "kept"] / max(done[name, "read"], 1)
        wanted = recipe.windows[recipe.names.index(name)] * recipe.window
        progress("prepare", name, done[name, "tokens"], wanted, f"{dropped:.0%} dropped")

    supplies, decided = prepare_until_filled(plan, tokenizer, engine, ready)
    build_id = plan.build_id(tokenizer)
    cuts = [_cuts(plan, i, units, build_id) for i, units in enumerate(decided)]
    held = [_hold_out(plan, i, units, build_id) for i, units in enumerate(decided)]
    shards = _shards(plan, cuts, build_id)
    room_to_cut(plan, [task for tasks in cuts for task in tasks], shards)
    _run("cut", engine, cut, [task for tasks in cuts for task in tasks], progress)
    _run("validation", engine, hold_out, held, progress)
    _run("shards", engine, assemble, shards, progress)
    manifest = finalize(plan, tokenizer, supplies, decided, cuts, held, shards)
    return Built(manifest, True, sum(len(supply.tasks) for supply in supplies), sum(s.reused for s in supplies))


def _run(stage: str, engine: Engine, function: Callable[[Any], Any], tasks: Sequence[Any], progress: Progress) -> None:
    for n, _ in enumerate(engine.map(function, tasks), 1):
        progress(stage, "", n, len(tasks))


def _cuts(plan: Plan, source: int, units: Sequence[DedupedUnit], build_id: str) -> list[Cut]:
    recipe, name = plan.recipe, plan.recipe.names[source]
    order = EpochOrder(recipe.windows[source], plan.pass_windows(source, units[-1].stop), recipe.seed, name)
    tasks = []
    for n, unit in enumerate(units):
        end = -(-unit.stop // recipe.window) * recipe.window  # where its last window ends, maybe in units behind
        parts = [unit, *(other for other in units[n + 1 :] if other.start < end)]
        tasks.append(
            Cut(
                tuple(parts),
                recipe.window,
                order,
                plan.work / "cut" / name / f"{n:05d}.bin",
                plan.folder / "documents" / name / f"{n:05d}.parquet",
                json_digest([build_id, name, n]),
            )
        )
    return tasks


def _hold_out(plan: Plan, source: int, units: Sequence[DedupedUnit], build_id: str) -> HoldOut:
    name, folder = plan.recipe.names[source], plan.folder / "validation"
    key = json_digest([build_id, name, "validation"])
    receipt = plan.work / "validation" / f"{name}.json"
    return HoldOut(tuple(units), plan.recipe.window, folder / f"{name}.bin", folder / f"{name}.parquet", receipt, key)


def _shards(plan: Plan, cuts: Sequence[Sequence[Cut]], build_id: str) -> list[Shard]:
    recipe = plan.recipe
    schedule = find_source_order(whole_weights(recipe.weights), recipe.windows)
    counts = schedule.counts(recipe.shard_windows)
    paths = tuple(tuple(task.path for task in tasks) for tasks in cuts)
    return [
        Shard(
            start,
            min(start + recipe.shard_windows, schedule.windows),
            tuple(counts[n].tolist()),
            schedule,
            recipe.window,
            paths,
            plan.folder / "shards" / f"train-{n:05d}.bin",
            plan.work / "shards" / f"{n:05d}.json",
            json_digest([build_id, "shard", n]),
        )
        for n, start in enumerate(range(0, schedule.windows, recipe.shard_windows))
    ]


def _tokenizer(plan: Plan, engine: Engine, progress: Progress) -> Artifact:
    """The tokenizer of the mix, in its own folder: the given one copied, or one trained on the recipe's sample."""
    folder = plan.folder / "tokenizer"
    key = json_digest(plan.facts())
    receipt = plan.work / "tokenizer.json"
    if read_receipt(receipt, key) is None:
        if plan.tokenizer:
            for name in artifact.FILES:
                if (plan.tokenizer.folder / name).exists():
                    write_bytes(folder / name, (plan.tokenizer.folder / name).read_bytes())
            write_receipt(receipt, key)
        else:
            write_receipt(receipt, key, **train_tokenizer(plan, engine, folder, progress))
    return artifact.load(folder)


def _finished(folder: Path, recipe: Recipe, given: Artifact | None) -> dict[str, Any]:
    """The manifest of a finished folder, if it is this recipe's and this tokenizer's. No source is asked again."""
    manifest = read_manifest(folder)
    wanted: dict[str, Any] = {"recipe": resolved(recipe)}
    found: dict[str, Any] = {"recipe": manifest["recipe"]}
    if given:
        wanted["tokenizer"], found["tokenizer"] = given.digest, manifest["tokenizer"]["digest"]
    if wanted != found:
        raise ForeignFolderError(f"{folder} holds another finished mix ({difference(found, wanted)}); use a new --out")
    return manifest

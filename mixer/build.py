"""build-mix: from a recipe to a finished mix. This is the place to start reading; each step is a module of its own.

    recipe
      | make_plan               list the files of each source at a pinned revision          plan.py
      | _get_tokenizer          copy the given tokenizer, or train one on a sample          train_tokenizer.py
      v
    PREPARE and DEDUP           read, filter, encode units; drop duplicates; in rounds,     stages/rounds.py
      |                         until each source has its share of the tokens               stages/prepare.py, dedup.py
      v
    CUT, validation             cut each source's tokens into windows                       stages/cut.py
      v
    ASSEMBLE                    put the windows into shards, in training order              stages/assemble.py
      v
    OUTCOMES                    write what became of each document                          stages/write_outcomes.py
      v
    FINALIZE                    dataset card and manifest.json, written last                stages/finalize.py

Each task of a stage writes a receipt when it is done, and is skipped when it has one. So the same command again resumes
a killed build.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from gpts_data.mixer.format.manifest import NAME, read_manifest
from gpts_data.mixer.format.manifest_types import Manifest
from gpts_data.mixer.kept_units import keep_tokenizer
from gpts_data.mixer.kernels import call_kernels, compile_kernels
from gpts_data.mixer.plan import Plan, make_plan, refuse_short_sources
from gpts_data.mixer.plan_file import TOKENIZER_RECEIPT, WORK, difference, write_plan
from gpts_data.mixer.planning.resources import explain_full_disk, room_to_begin, room_to_cut
from gpts_data.mixer.recipe import Recipe, resolved
from gpts_data.mixer.recipe_exclude import read_lists
from gpts_data.mixer.stages.contamination import index_benchmarks
from gpts_data.mixer.stages.finalize import finalize
from gpts_data.mixer.stages.pack_units import pack_units
from gpts_data.mixer.stages.rounds import Report, prepare_until_filled
from gpts_data.mixer.stages.unit_receipt import UnitReceipt
from gpts_data.mixer.stages.write_mix import write_mix
from gpts_data.mixer.stages.write_outcomes import write_outcomes
from gpts_data.mixer.train_tokenizer import train_tokenizer
from gpts_data.mixer.workspace import clean_up, discard_plan, locked
from gpts_data.pipelines.errors import ForeignFolderError, LockedError, ShortSourceError, UsageError
from gpts_data.pipelines.execute import Engine, open_engine
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import uploads_together, write_bytes
from gpts_data.pipelines.storage.checksums import Checksum, all_intact, checksum
from gpts_data.pipelines.storage.listing import list_folder
from gpts_data.pipelines.storage.lock import remove_temporaries
from gpts_data.pipelines.storage.paths import AnyPath, is_file, is_inside, read_all
from gpts_data.pipelines.storage.receipts import accepted_receipt, write_receipt
from gpts_data.tokenizer import artifact
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.tokenizer.encode import EncoderName
from gpts_data.tokenizer.untrusted import check_untrusted

log = logging.getLogger("gpts_data")


class TokenizerReceipt(TypedDict):
    """Receipt of the tokenizer in the mix folder."""

    key: str
    files: dict[str, Checksum]
    """By the names of the files."""


@dataclass(frozen=True)
class Built:
    """The result of a build."""

    manifest: Manifest = field(repr=False)
    """The content of manifest.json."""
    created: bool
    """Whether this call built the mix; False when the folder already held it."""
    units: int = 0
    """Number of units the mix was made from."""
    reused: int = 0
    """Number of these units that an earlier build had prepared."""


def build(
    recipe: Recipe,
    recipe_folder: Path,
    folder: AnyPath,
    *,
    tokenizer: AnyPath | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = lambda *_: None,
    retry_policy: RetryPolicy = RetryPolicy(),
    encoder: EncoderName = "fast",
    keep_units: AnyPath | None = None,
) -> Built:
    """Build the mix of `recipe` in `folder`, or resume the build there. Workers and scheduler do not change its bytes.

    With `keep_units`, prepared units are kept in that folder and reused: a mix with other weights, seed, window or
    number of tokens but the same tokenizer reads no text again.

    Raises the errors of pipelines.errors: `RecipeError`, `ForeignFolderError`, `DataError`, `SourceUnavailableError`,
    `StorageError`, `LockedError`.
    """
    if keep_units and is_inside(keep_units, folder):
        raise UsageError(
            f"--keep-units {keep_units} is inside the mix {folder}, where verify would report it; choose another folder"
        )
    given_tokenizer = check_untrusted(tokenizer) if tokenizer else None
    if is_file(folder / NAME):
        built = Built(_finished_mix(folder, recipe, recipe_folder, given_tokenizer), created=False)
        if not (folder / WORK).exists():
            remove_temporaries(folder)  # of a worker that was frozen until the mix was finished
            return built
    plan = make_plan(recipe, recipe_folder, folder, given_tokenizer, NAME, retry_policy, encoder, keep_units)
    refuse_short_sources(plan)
    room_to_begin(plan)
    try:
        with locked(plan) as check_lock, explain_full_disk(plan):
            if is_file(folder / NAME):  # the last build was killed while it cleaned up
                built = Built(_finished_mix(folder, recipe, recipe_folder, given_tokenizer), created=False)
            else:
                built = _run_plan(plan, workers, scheduler, _checking(check_lock, progress))
            clean_up(plan)
    except LockedError:
        if not is_file(folder / NAME):
            raise
        # the other build cleans up
        built = Built(_finished_mix(folder, recipe, recipe_folder, given_tokenizer), created=False)
    return built


def _run_plan(plan: Plan, workers: int, scheduler: str | None, progress: Progress) -> Built:
    _remove_temporaries(plan)
    index_benchmarks(plan)  # before anything is written: a benchmark that cannot be read leaves no half-finished build
    write_plan(plan.work, plan.identity(), plan.scratch_name)
    if scheduler is None:  # the workers of a cluster have caches of their own
        compile_kernels(plan.recipe, progress, trains=plan.tokenizer is None)
    try:
        with open_engine(workers, scheduler, plan.work / "plan.json", partial(_warm_up, plan.recipe)) as engine:
            tokenizer = _get_tokenizer(plan, engine, progress)
            return _build_mix(plan, tokenizer, engine, progress)
    except ShortSourceError:
        discard_plan(plan)
        raise


def _warm_up(recipe: Recipe) -> None:
    """Load what the tasks of a build need, in the process that its workers are forked from.

    To find this function there imports this module and with it all stages. Nothing here may start a thread; loading a
    tokenizer would.
    """
    call_kernels(recipe)


def _build_mix(plan: Plan, tokenizer: Artifact, engine: Engine, progress: Progress) -> Built:
    """Run all stages, from the texts of the sources to the manifest."""
    sources, deduped = prepare_until_filled(plan, tokenizer, engine, _unit_report(plan, progress))
    check_room = partial(room_to_cut, plan)
    deduped = pack_units(plan, plan.build_id(tokenizer), deduped, engine, progress)
    written = write_mix(plan, plan.build_id(tokenizer), deduped, engine, progress, check_room)
    prepared = [source.tasks_and_receipts() for source in sources]
    outcomes = write_outcomes(plan, plan.build_id(tokenizer), prepared, deduped, engine, progress)
    _remove_temporaries(plan)  # of workers that died; a file that no manifest lists would fail `verify`
    manifest = finalize(plan, tokenizer, sources, deduped, written, outcomes)
    units, reused = sum(len(source.tasks) for source in sources), sum(source.reused for source in sources)
    return Built(manifest, created=True, units=units, reused=reused)


def _remove_temporaries(plan: Plan) -> None:
    remove_temporaries(plan.folder)
    remove_temporaries(*(plan.units / name for name in plan.recipe.names), below=False)


def _checking(check_lock: Callable[[], None], progress: Progress) -> Progress:
    """`progress`, which also stops a build that has lost its lock."""

    def report(stage: str, name: str, done: int, total: int, note: str = "", /) -> None:
        check_lock()
        progress(stage, name, done, total, note)

    return report


def _unit_report(plan: Plan, progress: Progress) -> Report:
    """Reports each prepared unit: tokens of its source so far, and the fraction of documents that were dropped."""
    recipe = plan.recipe
    tokens: Counter[str] = Counter()
    read: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    needs = {name: windows * recipe.window for name, windows in zip(recipe.names, recipe.windows, strict=True)}
    for name, needed in needs.items():  # so that a source is seen before its first unit is done
        progress("prepare", name, 0, needed)

    def report(name: str, receipt: UnitReceipt) -> None:
        tokens[name] += receipt["tokens"]
        read[name] += receipt["read"]
        kept[name] += receipt["kept"]
        log.debug("%s: %s documents read, %s kept", receipt["unit"], f"{receipt['read']:,}", f"{receipt['kept']:,}")
        dropped = 1 - kept[name] / max(read[name], 1)
        progress("prepare", name, tokens[name], needs[name], f"{dropped:.0%} dropped")

    return report


def _get_tokenizer(plan: Plan, engine: Engine, progress: Progress) -> Artifact:
    """The tokenizer in the mix folder: a copy of the given one, or one trained on the recipe's sample."""
    folder, receipt = plan.folder / "tokenizer", plan.work / TOKENIZER_RECEIPT

    def accepts(done: TokenizerReceipt) -> bool:
        return all_intact("tokenizer", {folder / name: file for name, file in done["files"].items()})

    if not accepted_receipt(receipt, plan.key, TokenizerReceipt, accepts):
        if plan.tokenizer:
            with uploads_together(folder):
                for name in artifact.FILES:
                    if (plan.tokenizer.folder / name).exists():
                        write_bytes(folder / name, (plan.tokenizer.folder / name).read_bytes())
        else:
            train_tokenizer(plan, engine, folder, progress)
        paths = list_folder(folder)
        files = dict(zip([path.name for path in paths], read_all(checksum, paths, folder), strict=True))
        write_receipt(receipt, TokenizerReceipt(key=plan.key, files=files))
    tokenizer = artifact.load(folder)
    if plan.keep_units:
        keep_tokenizer(plan.keep_units, tokenizer)
    return tokenizer


def _finished_mix(folder: AnyPath, recipe: Recipe, recipe_folder: Path, tokenizer: Artifact | None) -> Manifest:
    """The manifest of a finished mix, without asking any source. Raises `ForeignFolderError` when it is another mix."""
    manifest = read_manifest(folder)
    expected: dict[str, Any] = {"recipe": resolved(recipe)}
    found: dict[str, Any] = {"recipe": manifest["recipe"]}
    if recipe.exclude:
        expected["exclude"] = [exclusion.digest() for exclusion in read_lists(recipe.exclude, recipe_folder)]
        found["exclude"] = [
            {"kind": entry["kind"], "sha256": entry["sha256"], "entries": entry["entries"]}
            for entry in manifest.get("exclusions", [])
        ]
    if tokenizer:
        expected["tokenizer"], found["tokenizer"] = tokenizer.digest, manifest["tokenizer"]["digest"]
    if expected != found:
        changed = difference(found, expected)
        raise ForeignFolderError(f"{folder} holds another finished mix ({changed}); use a new --out")
    return manifest

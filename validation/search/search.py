"""search-mix: from a recipe and its kept units to proposed weights. This is the place to start reading.

recipe, units
  | make_pool          deduplicate the kept units; the windows that proxies read      proxies/pool.py
  | target_rows        held-out text, files and benchmarks that are measured on       proxies/targets.py
  v
design_runs            which mixtures are tried                                       design.py
  | train_run          one proxy model per mixture, measured at three horizons        proxies/runs.py, model.py
  v
conclude               a law per target, the best weights, and whether they hold      result.py
  | _confirm           longer runs of the recipe's and the proposed weights           confirm.py

OUT/search.json    what is searched; a folder with another search is refused
OUT/tokenizer/     a copy of the tokenizer that the units were made with
OUT/pool/, OUT/targets/
OUT/runs/*.json    a receipt for each finished run; the same command again goes on with the others
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypedDict

from gpts_data.mixer.plan_file import difference
from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.errors import ForeignFolderError
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import json_digest
from gpts_data.pipelines.storage.lock import folder_lock, remove_temporaries
from gpts_data.pipelines.storage.paths import AnyPath, absolute
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.tokenizer.encode import get_encoder
from gpts_data.validation.model.model import GPTS
from gpts_data.validation.search.caps import Floats, least_weight, weight_caps
from gpts_data.validation.search.confirm import Confirmation, compare
from gpts_data.validation.search.design import ProxyRun, design_runs
from gpts_data.validation.search.options import Search, SearchOptions, check_options
from gpts_data.validation.search.proxies.campaign import train_all, worker_count
from gpts_data.validation.search.proxies.model import RunLength, describe_length, proxy_config, run_length
from gpts_data.validation.search.proxies.pool import Pool, make_pool, open_pool
from gpts_data.validation.search.proxies.runs import ProxySetup, ProxyTask, save_rows
from gpts_data.validation.search.proxies.targets import log_size, target_rows
from gpts_data.validation.search.proxies.units import Units
from gpts_data.validation.search.result import Measurements, SearchResult, conclude
from gpts_data.validation.training.device import device_kind

NAME = "search.json"
LOCK = ".search.lock"
RUNS = "runs"
CONFIRM_SEEDS = 3
FIRST_CONFIRM_SEED = 1000  # no designed run has it
SEEDS = 10_000  # of the runs of a search; another --seed has other ones

log = logging.getLogger("gpts_data")


class SearchReceipt(TypedDict):
    """The content of search.json."""

    key: str
    search: dict[str, Any]


def search_mix(
    recipe: Recipe,
    recipe_folder: Path,
    units: AnyPath,
    out: Path,
    options: SearchOptions,
    *,
    tokenizer: AnyPath | None = None,
    confirm: bool = False,
    workers: int | None = None,
    device: str | None = None,
    progress: Progress = lambda *_: None,
    retry_policy: RetryPolicy = RetryPolicy(),
) -> SearchResult:
    """Search the weights of `recipe` with proxy runs on its kept `units`, or resume that search in the folder `out`.

    tokenizer: the one that the units were made with; by default the one that is kept beside them. workers: processes,
    by default one for each GPU or, without one, for each processor core; on a CPU their number does not change the
    result. device: "cuda" or "cpu".

    Raises `UsageError` for a recipe or options that cannot be searched, `ForeignFolderError` for a folder with another
    search, `ShortSourceError` when the units are too few, `LockedError` when another process searches in the folder.
    """
    targets, tokens_per_run = check_options(recipe, options)
    _refuse_foreign(out)
    with folder_lock(out, f"another search is at work in {out}; wait until it ends, or choose another --out", LOCK):
        remove_temporaries(out)
        kept = Units(recipe, recipe_folder, absolute(units), out, retry_policy)
        search = Search(recipe, options, targets, tokens_per_run, out, kept.tokenizer(tokenizer))
        key = _claim(search, recipe_folder)
        pool = _pool(search, kept, key, progress)
        runs = _design(search, pool)
        kind = device_kind(device)
        processes = worker_count(workers, kind)
        setup = _setup(search, pool, kind, processes)
        length = run_length(tokens_per_run, recipe.window)
        log.info("each proxy run: %s", describe_length(length, recipe.window, tokens_per_run))
        losses = train_all(_tasks(setup, runs, length, key), processes, "proxies", progress)
        result = conclude(_measurements(search, setup, runs, length, losses))
        if confirm and result.accepted:
            result = replace(
                result, confirmation=_confirm(result, setup, length, search.longest, key, processes, progress)
            )
    return result


def _refuse_foreign(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: found a file, expected a folder for the search")
    names = [entry.name for entry in out.iterdir() if entry.name != LOCK] if out.is_dir() else []
    if names and NAME not in names and names != ["tokenizer"]:
        raise ForeignFolderError(
            f"{out} is not empty and has no {NAME} (found {', '.join(sorted(names)[:3])}); choose another --out"
        )


def _claim(search: Search, recipe_folder: Path) -> str:
    """The key of the search, after search.json has been written. Raises `ForeignFolderError` for another search.

    One that has no finished run yet, perhaps because it was refused, is replaced.
    """
    identity = search.identity(recipe_folder)
    before = read_receipt(search.out / NAME, NAME, SearchReceipt)
    if before and before["search"] != identity and any((search.out / RUNS).glob("*.json")):
        raise ForeignFolderError(
            f"{search.out} holds another search ({difference(before['search'], identity)}); use a new --out"
        )
    if before is None or before["search"] != identity:
        write_receipt(search.out / NAME, SearchReceipt(key=NAME, search=identity))
    return json_digest(identity)


def _pool(search: Search, kept: Units, key: str, progress: Progress) -> Pool:
    """The pool of the search, made if it is not there."""
    folder = search.out / "pool"
    if pool := open_pool(search.recipe, folder, key):
        return pool
    plan = kept.plan(search.tokenizer)
    return make_pool(
        plan,
        search.tokenizer,
        folder,
        key,
        max_epochs=search.max_epochs,
        longest=search.longest,
        held_out=search.measured,
        progress=progress,
    )


def _setup(search: Search, pool: Pool, device: str, processes: int) -> ProxySetup:
    """Return what all runs have in common, after the rows of the targets have been written."""
    folder, tokenizer = search.out / "targets", search.tokenizer
    encoder = get_encoder(tokenizer.folder, tokenizer.digest)
    for number, target in enumerate(search.targets):
        rows = target_rows(target, pool, encoder, search.measured)
        log_size(target, rows)
        save_rows(folder, number, rows)
    options = search.options
    return ProxySetup(
        pool=pool,
        targets=folder,
        target_names=tuple(target.name for target in search.targets),
        tokenizer=Path(str(tokenizer.folder)),
        eos_id=tokenizer.eos_id,
        config=proxy_config(options.layers, options.width, tokenizer.vocab_size, search.recipe.window),
        tokens=search.recipe.tokens,
        device=device,
        own_gpu=device == "cuda" and processes > 1,
    )


def _caps(search: Search, pool: Pool) -> Floats:
    recipe = search.recipe
    return weight_caps(recipe.names, search.weights, pool.supply, recipe.tokens, search.max_epochs)


def _design(search: Search, pool: Pool) -> list[ProxyRun]:
    """The designed runs, with seeds that no search with another --seed has."""
    seed = search.options.seed
    runs = design_runs(search.weights, _caps(search, pool), seed, search.options.mixtures)
    return [replace(run, seed=run.seed + SEEDS * seed) for run in runs]


def _tasks(setup: ProxySetup, runs: Sequence[ProxyRun], length: RunLength, key: str) -> list[ProxyTask]:
    """The tasks of runs. Their receipts depend on the search, the content of the pool, and the run itself."""
    folder = setup.pool.folder.parent / RUNS
    keys = [json_digest([key, setup.pool.digest, asdict(run), asdict(length)]) for run in runs]
    return [ProxyTask(setup, run, length, folder / f"{run.name}.json", k) for run, k in zip(runs, keys, strict=True)]


def _measurements(
    search: Search, setup: ProxySetup, runs: Sequence[ProxyRun], length: RunLength, losses: Floats
) -> Measurements:
    recipe, pool = search.recipe, setup.pool
    return Measurements(
        tokens=recipe.tokens,
        parameters=GPTS(setup.config).parameter_count(),
        sources=recipe.names,
        supply=pool.supply,
        recipe=search.weights,
        caps=_caps(search, pool),
        least=least_weight(sum(recipe.windows)),
        targets=setup.target_names,
        importance=tuple(target.weight for target in search.targets),
        runs=tuple(runs),
        horizons=tuple(end * length.batch * pool.window for _, end in length.horizons),
        losses=losses,
    )


def _confirm(
    result: SearchResult,
    setup: ProxySetup,
    length: RunLength,
    tokens: int,
    key: str,
    processes: int,
    progress: Progress,
) -> Confirmation:
    """Train the recipe's and the proposed weights on `tokens` tokens, in pairs of runs with the same seed."""
    longer = run_length(tokens, setup.pool.window, length.batch)
    names = {"recipe": result.measurements.recipe, "proposed": result.proposal.weights}
    seeds = [result.measurements.runs[0].seed + FIRST_CONFIRM_SEED + i for i in range(CONFIRM_SEEDS)]
    runs = [
        ProxyRun(f"confirm-{name}-{i:03d}", tuple(weights.tolist()), seed)
        for name, weights in names.items()
        for i, seed in enumerate(seeds)
    ]
    losses = train_all(_tasks(setup, runs, longer, key), processes, "confirm", progress)[-1]
    importance = result.measurements.importance
    return compare(longer.windows * setup.pool.window, losses[:CONFIRM_SEEDS], losses[CONFIRM_SEEDS:], importance)

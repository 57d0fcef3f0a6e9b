"""Checks that the sources of a recipe can be read from here: local files, hub datasets and the hub's access token."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.hub import reachability
from gpts_data.pipelines.hub.reachability import DatasetStatus, HubStatus
from gpts_data.pipelines.readers.local_files import local_files
from gpts_data.pipelines.readers.source import Source
from gpts_data.pipelines.readers.store_files import is_address
from gpts_data.validation.doctor.check import Check, check

HUB = "hub "  # prefix of the names of all checks of the hub
NEEDS_TOKEN = {reachability.GATED, reachability.REFUSED, reachability.FORBIDDEN}

_ADVICE = {
    reachability.GATED: "ask for access on the dataset's page, then log in: hf auth login",
    reachability.MISSING: "check dataset = in the recipe; if the dataset is private, log in: hf auth login",
    reachability.NO_REVISION: "check revision = in the recipe",
    reachability.REFUSED: "log in again: hf auth login; or unset HF_TOKEN",
    reachability.FORBIDDEN: "allow your token to read this dataset, in the token's settings on the hub",
    reachability.BAD_NAME: "check dataset = in the recipe; expected owner/name",
    reachability.SILENT: "check the network, the proxy and HF_ENDPOINT, then run doctor again",
}
_OFFLINE_ADVICE = "unset HF_HUB_OFFLINE, then run doctor again"


def check_files(recipe: Recipe, folder: Path) -> Iterator[Check]:
    """Yield one check per source with local files. `folder` is the recipe's, to which paths are relative."""
    for source in recipe.source:
        if source.files and not source.dataset and not any(map(is_address, source.files)):
            yield _check_files(source, folder)


def _check_files(source: Source, folder: Path) -> Check:
    name, wanted = f"files {source.name}", "all readable"
    try:
        paths = local_files(source, folder)
    except RecipeError as error:
        found, _, advice = str(error).removeprefix(f"source {source.name!r}: ").partition("; ")
        return Check(name, False, found, wanted, f"check files = in the recipe: {advice}")
    unreadable = [path for path in paths if not os.access(path, os.R_OK)]
    found = f"{len(paths):,} file{'s' * (len(paths) > 1)}"
    if unreadable:
        found += f", {len(unreadable):,} not readable: {unreadable[0]}"
    return check(
        name, not unreadable, found, wanted, f"make it readable: chmod u+r {unreadable[0] if unreadable else ''}"
    )


def check_hub(recipe: Recipe, seconds: float = reachability.SECONDS) -> Iterator[Check]:
    """Yield one check per hub dataset and one of the token; none for a recipe without hub datasets.

    `seconds` is how long the hub has to answer.
    """
    benchmarks = recipe.decontaminate.benchmark if recipe.decontaminate else ()
    source_datasets = [(source.dataset, source.revision) for source in recipe.source]
    benchmark_datasets = [(benchmark.dataset, benchmark.revision) for benchmark in benchmarks]
    named = dict.fromkeys((*source_datasets, *benchmark_datasets))
    datasets = [(dataset, revision) for dataset, revision in named if dataset]
    if not datasets:
        return
    status = reachability.check_reachable(datasets, seconds)
    yield from (_check_dataset(dataset, seconds) for dataset in status.seen)
    yield _check_token(status)


def _check_dataset(status: DatasetStatus, seconds: float) -> Check:
    found = f"{status.reason} ({status.detail})" if status.detail else status.reason or "reachable"
    advice = _OFFLINE_ADVICE if status.detail == "OfflineModeIsEnabled" else _ADVICE.get(status.reason, "")
    return check(f"{HUB}{status.dataset}", not status.reason, found, f"reachable within {seconds:g} s", advice)


def _check_token(status: HubStatus) -> Check:
    """Check the token, which only some datasets need. It is described by where it is stored, never shown."""
    reasons = {dataset.reason for dataset in status.seen}
    refused = reachability.REFUSED in reasons
    missing = status.token_from == "" and bool(reasons & NEEDS_TOKEN)
    if status.token_from is None:
        found = "unknown, the hub's client did not answer"
    elif status.token_from == "":
        found = "none"
    else:
        found = f"found in {status.token_from}" + (", refused by the hub" if refused else "")
    wanted = "a valid token, for gated and private datasets only"
    return check(f"{HUB}token", not (missing or refused), found, wanted, "log in: hf auth login; or set HF_TOKEN")


def only_hub_failed(checks: Sequence[Check]) -> bool:
    """Return whether checks failed, and only those of the hub, so that the same build may succeed later."""
    failed = [check for check in checks if not check.ok]
    return bool(failed) and all(check.name.startswith(HUB) for check in failed)

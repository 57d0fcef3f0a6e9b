"""Can the recipe's sources be read from here: local files, hub datasets, and the token for those that want one?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpts_data.mixer.recipe import Recipe
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.hub import reachability
from gpts_data.pipelines.hub.reachability import DatasetStatus, HubStatus
from gpts_data.pipelines.readers.reader import local_files
from gpts_data.pipelines.readers.source import Source
from gpts_data.validation.doctor.check import Check, check

HUB = "hub "
"""Begins the name of every check that only the hub can fail."""

_ADVICE = {
    reachability.GATED: "ask for access on the dataset's page, then log in: hf auth login",
    reachability.MISSING: "check dataset = in the recipe; if it is private, log in: hf auth login",
    reachability.NO_REVISION: "check revision = in the recipe",
    reachability.REFUSED: "log in again: hf auth login; or unset HF_TOKEN",
    reachability.FORBIDDEN: "give your token the right to read this dataset, in its settings on the hub",
    reachability.BAD_NAME: "check dataset = in the recipe, expected owner/name",
    reachability.SILENT: "check the network, the proxy and HF_ENDPOINT, then run doctor again",
}
_OFFLINE = "unset HF_HUB_OFFLINE, then run doctor again"


def files(recipe: Recipe, folder: Path) -> Iterator[Check]:
    """One check a source with `files =`; `folder` is the recipe's."""
    for source in recipe.source:
        if source.files:
            yield _files(source, folder)


def _files(source: Source, folder: Path) -> Check:
    name, wanted = f"files {source.name}", "all readable"
    try:
        paths = local_files(source, folder)
    except RecipeError:
        found = f"nothing matches {', '.join(source.files)}"
        return Check(name, False, found, wanted, f"check files = in the recipe; globs are relative to {folder}")
    closed = [path for path in paths if not os.access(path, os.R_OK)]
    found = f"{len(paths):,} file{'s' * (len(paths) > 1)}" + (
        f", {len(closed):,} not readable: {closed[0]}" if closed else ""
    )
    return check(name, not closed, found, wanted, "give yourself the right to read it: chmod u+r")


def hub(recipe: Recipe, seconds: float = reachability.SECONDS) -> Iterator[Check]:
    """One check a hub dataset and one for the token; none for a recipe without hub sources."""
    benchmarks = recipe.decontaminate.benchmark if recipe.decontaminate else ()
    named = [*((s.dataset, s.revision) for s in recipe.source), *((b.dataset, b.revision) for b in benchmarks)]
    datasets = list(dict.fromkeys((dataset, revision) for dataset, revision in named if dataset))
    if not datasets:
        return
    found = reachability.check_reachable(datasets, seconds)
    yield from (_dataset(seen, seconds) for seen in found.seen)
    yield _token(found)


def _dataset(seen: DatasetStatus, seconds: float) -> Check:
    found = f"{seen.reason} ({seen.detail})" if seen.detail else seen.reason or "seen"
    advice = _OFFLINE if seen.detail == "OfflineModeIsEnabled" else _ADVICE.get(seen.reason, "")
    return check(f"{HUB}{seen.dataset}", not seen.reason, found, f"seen within {seconds:g} s", advice)


def _token(found: HubStatus) -> Check:
    """A token is needed only where a dataset asked for one; it is named by where it comes from, never shown."""
    reasons = {seen.reason for seen in found.seen}
    refused = reachability.REFUSED in reasons
    missed = found.token_from == "" and bool(
        reasons & {reachability.GATED, reachability.REFUSED, reachability.FORBIDDEN}
    )
    where = {"": "no", None: "not known, the hub's client did not say"}.get(found.token_from)
    shown = (where or f"yes, from {found.token_from}") + (", refused by the hub" if refused and not where else "")
    wanted = "for gated and private datasets only"
    return check(f"{HUB}token", not (missed or refused), shown, wanted, "log in: hf auth login; or set HF_TOKEN")


def of_hub(checks: Sequence[Check]) -> bool:
    """Whether the hub alone is at fault: the rest may go well when the same is done later."""
    failed = [one for one in checks if not one.ok]
    return bool(failed) and all(one.name.startswith(HUB) for one in failed)

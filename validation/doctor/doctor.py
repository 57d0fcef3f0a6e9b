"""DOCTOR: can this machine do this build? Asked before it begins; nothing is written and nothing is read but names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from gpts_data.mixer.format.manifest import NAME, read_manifest
from gpts_data.mixer.plan import WORK, difference, read_plan
from gpts_data.mixer.planning.resources import Resources, estimate_resources
from gpts_data.mixer.recipe import Recipe, resolved
from gpts_data.pipelines.errors import ForeignFolderError, VerificationError
from gpts_data.pipelines.hub import reachability
from gpts_data.pipelines.storage.disk import existing, free_bytes, refuses, used_bytes
from gpts_data.pipelines.storage.paths import AnyPath, is_store, unreachable
from gpts_data.validation.doctor import machine, packages, sources
from gpts_data.validation.doctor.check import Check, check, size


def run_checks(
    recipe: Recipe, folder: Path, out: AnyPath, workers: int = 1, *, seconds: float = reachability.SECONDS
) -> list[Check]:
    """All checks of a build of `recipe` in `out`; `folder` is the recipe's, `seconds` what the hub has to answer in.

    Raises nothing for what it finds: a failed check says it.
    """
    wanted = estimate_resources(recipe, workers)
    return [
        *libraries(),
        *sources.files(recipe, folder),
        *sources.hub(recipe, seconds),
        output(recipe, out),
        disk(wanted, out),
        memory(wanted, workers),
        open_files(wanted),
    ]


def libraries(package: str = packages.PACKAGE) -> Iterator[Check]:
    """Python and the libraries, as the metadata of `package` wants them."""
    try:
        python = packages.python_wanted(package)
        count, unmet = packages.unmet_requirements(package)
    except PackageNotFoundError:
        yield Check("libraries", False, f"{package} is not installed", "installed", f"pip install {package}")
        return
    found = packages.python_found()
    advice = f"make an environment with a Python {python} and install {package} there"
    yield check("python", python.contains(found, prereleases=True), found, str(python) or "any", advice)
    shown = ", ".join(f"{one.requirement.name} {one.found or 'missing'}" for one in unmet)
    lines = [f"{one.requirement.name}{one.requirement.specifier}" for one in unmet]
    advice = f"pip install {' '.join(map(repr, lines))}"
    yield check("libraries", not unmet, shown or f"all {count}", ", ".join(lines) or "as declared", advice)


def output(recipe: Recipe, out: AnyPath) -> Check:
    """Can a build write here, and would it: a folder that holds something else is refused."""
    wanted = "absent, empty, or this very mix; writable"
    if reason := unreachable(out) if is_store(out) else refuses(out):
        return Check("output", False, f"{out}: {reason}", wanted, "choose another --out, or fix the permissions")
    try:
        found, other = _state(resolved(recipe), out)
    except (ForeignFolderError, VerificationError, ValueError) as error:
        return Check("output", False, str(error).split(";")[0], wanted, "choose another --out")
    advice = f"choose another --out, or delete {out} to give that one up"
    return check("output", not other, f"{out}: {found}" + (f", {other} differs" if other else ""), wanted, advice)


def _state(wanted: dict[str, Any], out: AnyPath) -> tuple[str, str]:
    """What is in the folder, and where its recipe differs from the wanted one ("" if it does not)."""
    if (out / NAME).exists():
        state, found = "a finished mix", read_manifest(out)["recipe"]
    elif plan := read_plan(out, NAME):
        state, found = "half-built", plan["recipe"]
    else:
        return "empty" if out.exists() else "absent", ""
    return state, "" if found == wanted else difference(found, wanted)


def disk(wanted: Resources, out: AnyPath) -> Check:
    """Free disk against the peak; what a half-finished build has written already counts as had."""
    if is_store(out):
        return Check("disk", True, "in the store", f"{size(wanted.disk_bytes)} at the peak")
    if os.path.exists(out / NAME):
        return Check("disk", True, "the mix is finished", "nothing more")
    free = free_bytes(out)
    done = used_bytes(out) if os.path.exists(out / WORK) else 0
    found = f"{size(free)} free at {existing(out)}" + (f", {size(done)} written already" if done else "")
    lacking = wanted.disk_bytes - free - done
    advice = f"free {size(lacking)} there, choose an --out on a larger disk, or lower --tokens"
    return check("disk", lacking <= 0, found, f"{size(wanted.disk_bytes)} at the peak", advice)


def memory(wanted: Resources, workers: int) -> Check:
    """What can be had, in this container if it is one, against all processes and dedup's table."""
    found = machine.available_memory()
    of_workers = workers * wanted.process_bytes
    fitting = (found.available - wanted.memory_bytes + of_workers) // wanted.process_bytes
    fewer = (
        f"use --workers {fitting}" if fitting > 0 else f"lower --tokens: dedup alone takes {size(wanted.index_bytes)}"
    )
    shown = f"{size(wanted.memory_bytes)}: {size(of_workers)} for {workers} worker{'s' * (workers > 1)}, "
    shown += f"{size(wanted.index_bytes)} for dedup"
    return check(
        "memory",
        found.available >= wanted.memory_bytes,
        f"{size(found.available)} available in this {found.limit}",
        shown,
        f"{fewer}, or give it more memory",
    )


def open_files(wanted: Resources) -> Check:
    limit = machine.open_file_limit()
    found = "no limit" if limit is None else f"{limit:,}"
    advice = f"ulimit -n {max(1024, 2 * wanted.open_files)}"
    return check("open files", limit is None or limit >= wanted.open_files, found, f"{wanted.open_files:,}", advice)

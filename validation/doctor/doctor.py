"""DOCTOR: checks before a build whether this machine can do it. It writes nothing and reads no documents."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from gpts_data.mixer.format.manifest import NAME, read_manifest
from gpts_data.mixer.plan_file import WORK, difference, read_plan
from gpts_data.mixer.planning.resources import Resources, estimate_resources
from gpts_data.mixer.recipe import Recipe, resolved
from gpts_data.pipelines import machine
from gpts_data.pipelines.adaptive_engine import fitting_workers
from gpts_data.pipelines.errors import ForeignFolderError, VerificationError
from gpts_data.pipelines.hub import reachability
from gpts_data.pipelines.storage.disk import existing, free_bytes, refuses, used_bytes
from gpts_data.pipelines.storage.paths import AnyPath, is_store, unreachable
from gpts_data.validation.doctor import packages, sources
from gpts_data.validation.doctor.check import Check, check, size


def run_checks(
    recipe: Recipe, folder: Path, out: AnyPath, workers: int = 1, *, seconds: float = reachability.SECONDS
) -> list[Check]:
    """Run all checks of a build. A problem gives a failed check; nothing is raised for it.

    Args:
        recipe: what is to be built.
        folder: folder of the recipe, to which its paths are relative.
        out: folder to build in.
        workers: number of worker processes; AUTO is as many as there are processors and memory for.
        seconds: how long the hub has to answer.
    """
    workers = workers or fitting_workers()
    resources = estimate_resources(recipe, workers)
    return [
        *check_libraries(),
        *sources.check_files(recipe, folder),
        *sources.check_hub(recipe, seconds),
        check_output(recipe, out),
        check_disk(resources, out),
        check_memory(resources, workers),
        check_open_files(resources),
    ]


def check_libraries(package: str = packages.PACKAGE) -> Iterator[Check]:
    """Check Python and the libraries against the metadata of `package`."""
    try:
        supported = packages.required_python(package)
        count, unmet = packages.unmet_requirements(package)
    except PackageNotFoundError:
        yield Check("libraries", False, f"{package} is not installed", "installed", f"pip install {package}")
        return
    python = packages.python_version()
    advice = f"create an environment with Python {supported} and install {package} there"
    yield check("python", supported.contains(python, prereleases=True), python, str(supported) or "any", advice)
    found = ", ".join(f"{library.requirement.name} {library.found or 'missing'}" for library in unmet)
    required = [f"{library.requirement.name}{library.requirement.specifier}" for library in unmet]
    advice = f"pip install {' '.join(map(repr, required))}"
    yield check("libraries", not unmet, found or f"all {count}", ", ".join(required) or "as declared", advice)


def check_output(recipe: Recipe, out: AnyPath) -> Check:
    """Check that `out` is writable, and that it is new or holds a build of this very recipe."""
    wanted = "a writable folder that is new, empty, or holds a build of this recipe"
    if reason := unreachable(out) if is_store(out) else refuses(out):
        return Check("output", False, f"{out}: {reason}", wanted, "choose another --out, or fix the permissions")
    try:
        state, changed = _folder_state(resolved(recipe), out)
    except (ForeignFolderError, VerificationError, ValueError) as error:
        return Check("output", False, str(error).split(";")[0], wanted, "choose another --out")
    found = f"{out}: {state}" + (f" of another recipe ({changed})" if changed else "")
    return check("output", not changed, found, wanted, f"choose another --out, or delete {out} to discard that mix")


def _folder_state(recipe: dict[str, Any], out: AnyPath) -> tuple[str, str]:
    """Return what `out` holds, and the first difference of its recipe to `recipe`; "" when there is none."""
    if (out / NAME).exists():
        state, built = "a finished mix", dict[str, Any](read_manifest(out)["recipe"])
    elif plan := read_plan(out, NAME):
        state, built = "an unfinished build", plan["recipe"]
    else:
        return "empty" if out.exists() else "absent", ""
    return state, "" if built == recipe else difference(built, recipe)


def check_disk(resources: Resources, out: AnyPath) -> Check:
    """Check the free disk space. What an unfinished build has written already counts as available."""
    if is_store(out):
        return Check("disk", True, "in the store", f"{size(resources.disk_bytes)} at the peak")
    if os.path.exists(out / NAME):
        return Check("disk", True, "the mix is finished", "nothing more")
    free = free_bytes(out)
    written = used_bytes(out) if os.path.exists(out / WORK) else 0
    found = f"{size(free)} free at {existing(out)}" + (f", {size(written)} written already" if written else "")
    lacking = resources.disk_bytes - free - written
    advice = f"free {size(lacking)} there, choose an --out on a larger disk, or lower --tokens"
    return check("disk", lacking <= 0, found, f"{size(resources.disk_bytes)} at the peak", advice)


def check_memory(resources: Resources, workers: int) -> Check:
    """Check the available memory against what all worker processes and deduplication need."""
    memory = machine.available_memory()
    worker_bytes = workers * resources.process_bytes
    fitting_workers = (memory.available - resources.memory_bytes + worker_bytes) // resources.process_bytes
    if fitting_workers > 0:
        advice = f"use --workers {fitting_workers}"
    else:
        advice = f"lower --tokens: deduplication alone needs {size(resources.index_bytes)}"
    return check(
        "memory",
        memory.available >= resources.memory_bytes,
        f"{size(memory.available)} available in this {memory.limit}",
        f"{size(resources.memory_bytes)}: {size(worker_bytes)} for {workers} worker{'s' * (workers > 1)}, "
        f"{size(resources.index_bytes)} for deduplication",
        f"{advice}, or give this {memory.limit} more memory",
    )


def check_open_files(resources: Resources) -> Check:
    """Check how many files a process may have open."""
    limit = machine.open_file_limit()
    found = "no limit" if limit is None else f"at most {limit:,}"
    enough = limit is None or limit >= resources.open_files
    advice = f"raise the limit: ulimit -n {max(1024, 2 * resources.open_files)}"
    return check("open files", enough, found, f"{resources.open_files:,}", advice)

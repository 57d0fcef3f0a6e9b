"""plan.json: what a half-finished build makes, so that the same command resumes it and another one is refused."""

from __future__ import annotations

import json
from typing import Any, NotRequired, TypedDict

from gpts_data.mixer.format.manifest_types import ListingEntry, RecipeEntry
from gpts_data.mixer.recipe_exclude import ListDigest
from gpts_data.pipelines.errors import ForeignFolderError
from gpts_data.pipelines.storage.listing import list_folder
from gpts_data.pipelines.storage.paths import AnyPath, is_file, is_store, read_all
from gpts_data.pipelines.storage.receipts import read_receipt, write_receipt
from gpts_data.pipelines.storage.typed_json import JsonError, convert

FORMAT = 1
NAME = "plan.json"
KEY = "plan"  # of plan.json as a receipt
WORK = ".build"
MAX_DIFFERENCES = 50  # that a message names
MAX_VALUE = 60  # characters of a value in a message
TOKENIZER_RECEIPT = "tokenizer.json"  # in WORK, of the tokenizer in the mix folder; its key is `Plan.key`


class PlanIdentity(TypedDict):
    """Everything that determines the bytes of a mix, as plain values."""

    format: int
    recipe: dict[str, Any]
    """The recipe with all defaults filled in."""
    sources: list[ListingEntry]
    benchmarks: list[ListingEntry]
    exclude: NotRequired[list[ListDigest]]
    """The lists of a recipe with `[exclude]`."""
    tokenizer: str | None
    """Digest of the given tokenizer; None when one is trained."""


class FrozenPlan(TypedDict):
    """Content of plan.json, which is written and read as a receipt."""

    key: str
    plan: PlanIdentity
    scratch: NotRequired[str]
    """`Plan.scratch_name` of a build into a store."""


def write_plan(work: AnyPath, identity: PlanIdentity, scratch_name: str = "") -> None:
    """Write plan.json into the folder of intermediate files; a killed build resumes from it."""
    frozen: FrozenPlan = {"key": KEY, "plan": identity}
    if scratch_name and is_store(work):
        frozen["scratch"] = scratch_name
    write_receipt(work / NAME, frozen)


def read_scratch_name(work: AnyPath) -> str | None:
    """The scratch name in plan.json; None when there is none."""
    frozen = read_receipt(work / NAME, KEY, FrozenPlan)
    return frozen.get("scratch") if frozen else None


def read_plan(folder: AnyPath, manifest_name: str) -> PlanIdentity | None:
    """The plan of a half-finished build in `folder`, or None. Raises `ForeignFolderError` when it holds other files."""
    work = folder / WORK
    has_plan, has_tokenizer = read_all(is_file, (work / NAME, work / TOKENIZER_RECEIPT), folder)
    if has_plan:
        return read_frozen_plan(work)
    if has_tokenizer:  # somebody removed plan.json only
        return None
    entries = list_folder(folder) if is_store(folder) or folder.is_dir() else []
    names = [entry.name for entry in entries if entry.name != WORK]
    if names and manifest_name not in names:
        raise ForeignFolderError(
            f"{folder} is not empty and has no {manifest_name} (found {', '.join(sorted(names)[:3])}); "
            "choose another --out"
        )
    return None


def read_frozen_plan(work: AnyPath) -> PlanIdentity | None:
    """The plan in a folder of intermediate files; None when there is none, or it is damaged."""
    frozen = read_receipt(work / NAME, KEY, FrozenPlan)
    return frozen["plan"] if frozen and _fits_its_recipe(frozen["plan"]) else None


def _fits_its_recipe(identity: PlanIdentity) -> bool:
    """Whether its recipe is one, with a listing for each source and benchmark."""
    try:
        recipe = convert(identity["recipe"], RecipeEntry)
    except JsonError:
        return False
    decontaminate = recipe.get("decontaminate")
    n_benchmarks = len(decontaminate["benchmark"]) if decontaminate else 0
    return (len(identity["sources"]), len(identity["benchmarks"])) == (len(recipe["source"]), n_benchmarks)


def difference(before: Any, now: Any, where: str = "") -> str:
    """The dotted name of every place where two JSON values differ, and both values there; the first MAX_DIFFERENCES."""
    changes = _differences(before, now, where)
    more = f"; and {len(changes) - MAX_DIFFERENCES} more" if len(changes) > MAX_DIFFERENCES else ""
    return "; ".join(changes[:MAX_DIFFERENCES]) + more


def _differences(before: Any, now: Any, where: str) -> list[str]:
    if isinstance(before, list) and isinstance(now, list) and len(before) != len(now):
        before, now = _by_name(before), _by_name(now)
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
        changes = [_differences(before.get(key), now.get(key), f"{where}.{key}" if where else str(key)) for key in keys]
        return [change for part in changes for change in part]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        changes = [_differences(item, other, f"{where}[{i}]") for i, (item, other) in pairs if item != other]
        return [change for part in changes for change in part]
    return [f"{where}: {_shortened(before)} before, {_shortened(now)} now"]


def _by_name(values: list[Any]) -> Any:
    """Tables with names, such as the sources of a recipe, by name, so that one more does not make all others differ."""
    is_named = all(isinstance(value, dict) and isinstance(value.get("name"), str) for value in values)
    return {value["name"]: value for value in values} if is_named else values


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


def without_budgets(identity: PlanIdentity) -> dict[str, Any]:
    recipe = {**identity["recipe"], "source": sources_without_budgets(identity["recipe"])}
    return {**identity, "recipe": recipe}


def sources_without_budgets(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """The sources without `max_damaged`, which may be raised when a build is resumed that was refused for damage."""
    return [{key: value for key, value in source.items() if key != "max_damaged"} for source in recipe["source"]]

"""Check that the numbers of a manifest fit together, so that what reads a mix needs not doubt them.

A manifest may come from a stranger who also computed its digests. Every count that something loops over or reserves
memory for is tied to sizes of files here, and `Mix.file` compares these with the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gpts_data.mixer.format.manifest_types import Manifest, SourceEntry
from gpts_data.mixer.recipe_stages import Stage, check_lengths, check_stages, recorded_stages
from gpts_data.mixer.schedule.permutation import MAX_EPOCHS
from gpts_data.mixer.schedule.source_order import MAX_WINDOWS
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.storage.typed_json import JsonError
from gpts_data.tokenizer.artifact import token_dtype

_SHARD = re.compile(r"shards/train-\d{5,}\.bin")
_FORBIDDEN = re.compile(r"[\\:\x00-\x1f\x7f-\x9f]")
"""In the name of a file: separators and drives of other systems, and control characters."""


def check_consistency(manifest: Manifest) -> None:
    """Raise `JsonError` for the first thing in a manifest of the right types that contradicts another."""
    for problem in (*_names(manifest), *_files(manifest)):
        raise JsonError(problem)
    for problem in (*_totals(manifest), *_dtype(manifest), *_sources(manifest), *_shards(manifest)):
        raise JsonError(problem)


def is_safe_name(name: str) -> bool:
    """Whether a file's name is a path below the folder of the mix: relative, without `..`, the same on all systems."""
    return not _FORBIDDEN.search(name) and not {"", ".", ".."} & set(name.split("/"))


def _names(manifest: Manifest) -> Iterator[str]:
    """Check that every source has its entries."""
    names = [source["name"] for source in manifest["recipe"]["source"]]
    if len(set(names)) < len(names):
        yield f"recipe.source: found {', '.join(names)}, expected names that differ"
    tables: dict[str, Mapping[str, object]] = {key: manifest[key] for key in ("sources", "waterfall", "overlap")}
    tables.update({f"overlap.{name}": manifest["overlap"].get(name, {}) for name in names})
    tables.update({f"shards.{i}.sources": shard["sources"] for i, shard in enumerate(manifest["shards"])})
    if "decontamination" in manifest:
        benchmarks = manifest["decontamination"]["benchmarks"]
        tables.update({f"decontamination.benchmarks.{key}": value["contaminated"] for key, value in benchmarks.items()})
    for key, table in tables.items():
        if set(table) != set(names):
            yield f"{key}: found {', '.join(table)}, expected the sources of the recipe: {', '.join(names)}"


def _files(manifest: Manifest) -> Iterator[str]:
    """Check the names of the files."""
    files = [entry["file"] for entry in (*manifest["shards"], *manifest["files"])]
    for name in files:
        if not is_safe_name(name):
            yield f"files: found {name!r}, expected a path inside of the mix"
    for shard in manifest["shards"]:
        if not _SHARD.fullmatch(shard["file"]):
            yield f"shards: found the file {shard['file']!r}, expected one like shards/train-00000.bin"
    if len(set(files)) < len(files):
        yield "files: found a file twice, expected each once"
    for entry in manifest["files"]:
        name = entry["file"]
        is_table = name.startswith(("documents/", "validation/")) and name.endswith(".parquet")
        if is_table and not {"start", "documents"} <= entry.keys():
            yield f"files: {name} has no start or no documents, expected both for a document table"


def _totals(manifest: Manifest) -> Iterator[str]:
    windows, window = manifest["windows"], manifest["recipe"]["window"]
    if windows > MAX_WINDOWS:
        yield f"windows: found {windows:,}, expected at most {MAX_WINDOWS:,}"
    if manifest["tokens"] != windows * window:
        yield f"tokens: found {manifest['tokens']:,}, expected {windows * window:,}, {windows:,} windows of {window:,}"
    by_shard = sum(shard["windows"] for shard in manifest["shards"])
    by_source = sum(source["windows"] for source in manifest["sources"].values())
    if not windows == by_shard == by_source:
        yield f"windows: found {windows:,}, but {by_shard:,} in the shards and {by_source:,} in the sources"
    yield from _stages(manifest)
    tokenizer = manifest["tokenizer"]
    if tokenizer["eos_id"] >= tokenizer["vocab_size"]:
        yield f"tokenizer.eos_id: found {tokenizer['eos_id']:,}, expected an id below {tokenizer['vocab_size']:,}"


def _stages(manifest: Manifest) -> Iterator[str]:
    """Check that the training order has stages that can be computed from the weights of the recipe."""
    recipe, windows = manifest["recipe"], manifest["windows"]
    stages = [Stage(weights=table["weights"], until=table["until"]) for table in recipe.get("stage", [])]
    sources = recipe["source"]
    try:
        check_stages([source["name"] for source in sources], [source.get("weight") for source in sources], stages)
        check_lengths(windows, recipe["window"], stages)
        if max(max(stage.weights) for stage in recorded_stages(recipe, windows)) >= 2**63:
            yield "recipe: found weights with too many digits, expected proportions of 64-bit numbers"
    except RecipeError as error:
        yield f"recipe: {error}"


def _dtype(manifest: Manifest) -> Iterator[str]:
    tokenizer = manifest["tokenizer"]
    found, dtype = tokenizer.get("dtype", "uint16"), token_dtype(tokenizer["vocab_size"])
    if found != dtype.name:
        yield f"tokenizer.dtype: found {found}, expected {dtype.name} for {tokenizer['vocab_size']:,} entries"


def _sources(manifest: Manifest) -> Iterator[str]:
    for name, source in manifest["sources"].items():
        windows, distinct = source["windows"], source["pass_windows"]
        for problem in _counts(source, manifest["windows"], manifest["recipe"]["window"]):
            yield f"sources.{name}.{problem}"
        if not distinct <= windows <= distinct * MAX_EPOCHS:
            yield (
                f"sources.{name}.pass_windows: found {distinct:,}, expected at most windows = {windows:,}, and at "
                f"least a part of {MAX_EPOCHS:,} of it"
            )
        by_shard = sum(shard["sources"][name] for shard in manifest["shards"])
        if by_shard != windows:
            yield f"sources.{name}.windows: found {windows:,}, but {by_shard:,} in the shards"


def _counts(source: SourceEntry, windows: int, window: int) -> Iterator[str]:
    validation = source["validation"]
    expected: dict[str, tuple[float, float]] = {
        "tokens": (source["tokens"], source["windows"] * window),
        "share": (source["share"], source["windows"] / windows),
        "epochs": (source["epochs"], source["windows"] / source["pass_windows"]),
        "validation.tokens": (validation["tokens"], validation["windows"] * window),
    }
    for key, (found, value) in expected.items():
        if found != value:
            yield f"{key}: found {found:,}, expected {value:,} by its windows"


def _shards(manifest: Manifest) -> Iterator[str]:
    window_bytes = manifest["recipe"]["window"] * token_dtype(manifest["tokenizer"]["vocab_size"]).itemsize
    for i, shard in enumerate(manifest["shards"]):
        size, by_source = shard["windows"] * window_bytes, sum(shard["sources"].values())
        if shard["bytes"] != size:
            yield f"shards.{i}.bytes: found {shard['bytes']:,}, expected {size:,} for {shard['windows']:,} windows"
        if by_source != shard["windows"]:
            yield f"shards.{i}.windows: found {shard['windows']:,}, but {by_source:,} in its sources"
    sizes = {entry["file"]: entry["bytes"] for entry in manifest["files"]}
    for name, source in manifest["sources"].items():
        file, size = f"validation/{name}.bin", source["validation"]["windows"] * window_bytes
        if sizes.get(file) != size:
            yield f"files: {file} has {sizes.get(file)} bytes, expected {size:,} for its windows"

"""The recipe with the proposed weights: the user's file, comments included, with the evidence above it."""

from __future__ import annotations

import os
import tempfile
import textwrap
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import tomlkit

from gpts_data.mixer.recipe import load_recipe
from gpts_data.pipelines.storage.atomic_files import write_bytes
from gpts_data.validation.search.outputs.evidence import evidence
from gpts_data.validation.search.result import SearchResult


def write_proposed_recipe(path: Path, result: SearchResult, recipe_text: str, recipe_folder: Path) -> None:
    """Write the recipe with the proposed weights to `path`.

    `recipe_text`: the recipe as the user has it, without stages. `recipe_folder`: where its relative paths start.
    Raises `RecipeError` when the new recipe is not valid; `path` is then not written.
    """
    text = proposed_recipe(result, recipe_text, recipe_folder, path.parent)
    with tempfile.TemporaryDirectory() as scratch:  # a recipe that is not valid is never written
        trial = Path(scratch) / path.name
        trial.write_text(text, encoding="utf-8")
        load_recipe(trial, result.measurements.tokens)
    write_bytes(path, text.encode())


def proposed_recipe(result: SearchResult, recipe_text: str, recipe_folder: Path, folder: Path) -> str:
    """The text of the recipe with the proposed weights, which will lie in `folder`."""
    document: Any = tomlkit.parse(recipe_text.removeprefix("\ufeff").replace("\r\n", "\n"))
    searched = result.measurements
    weights = dict(zip(searched.sources, result.proposal.weights.tolist(), strict=True))
    epochs = dict(zip(searched.sources, searched.epochs.tolist(), strict=True))
    document.pop("stage", None)  # a recipe with one stage has its weights there
    for source in document["source"]:
        weight = weights[source["name"]]
        source["weight"] = round(100 * weight, 2)
        needed = ceil(weight * epochs[source["name"]] - 1e-9)
        if needed > source.get("max_epochs", 1):
            source["max_epochs"] = needed
    for table, key in _path_lists(document):
        table[key] = _moved(table[key], recipe_folder.resolve(), folder.resolve())
    return _evidence(result) + tomlkit.dumps(document)


def _path_lists(document: Any) -> Iterator[tuple[Any, str]]:
    """The tables and keys of a recipe that hold paths, or lists of them, relative to its folder."""
    benchmarks = document.get("decontaminate", {}).get("benchmark", [])
    for table in (*document["source"], *benchmarks):
        if "files" in table and "dataset" not in table:
            yield table, "files"
    exclude = document.get("exclude", {})
    yield from ((exclude, key) for key in exclude)


def _moved(paths: Any, old: Path, new: Path) -> Any:
    if not isinstance(paths, str):
        return [_moved(path, old, new) for path in paths]
    if "://" in paths or os.path.isabs(os.path.expanduser(paths)):
        return paths
    if os.path.commonpath([old, new]) == os.sep:  # a preset's folder: a way over the root helps nobody
        return (old / paths).as_posix()
    return Path(os.path.relpath(old / paths, new)).as_posix()


def _evidence(result: SearchResult) -> str:
    searched = result.measurements
    width = max(map(len, searched.sources))
    rows = zip(searched.sources, searched.recipe, result.proposal.weights, strict=True)
    lines = [
        "Weights proposed by `gpts-data search-mix`; the rest is the recipe that was searched.",
        "",
        *(f"  {name:{width}}  {before:7.2%} -> {after:7.2%}" for name, before, after in rows),
        "",
        *(line for sentence in evidence(result) for line in textwrap.wrap(sentence, 100)),
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + "\n"

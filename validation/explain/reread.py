"""Read a document from its source again, to see why a build dropped it. The mix has the text of kept documents only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import RecipeSource
from gpts_data.pipelines.errors import RecipeError, SourceUnavailableError, VerificationError
from gpts_data.pipelines.filters.cleaner import CleanConfig, check_clean, get_cleaner
from gpts_data.pipelines.hub.remote_file import FetchOptions
from gpts_data.pipelines.hub.retry import RetryPolicy
from gpts_data.pipelines.readers.damage import HIGH, LOW
from gpts_data.pipelines.readers.local_files import local_files
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import SourceFile, Unit
from gpts_data.pipelines.readers.store_files import is_address
from gpts_data.pipelines.storage.atomic_files import file_digest
from gpts_data.pipelines.storage.typed_json import JsonError, convert

Table = TypeVar("Table")
PATIENCE = RetryPolicy.lasting(20.0)  # seconds; trace can do without the source


@dataclass(frozen=True)
class SourceDocument:
    """A document as its source has it."""

    text: str | None
    """Its text; None when it has none that can be used."""
    url: str | None
    score: float | None
    """For a document whose score is out of its source's bounds, that score."""


def reread(mix: Mix, source: str, unit: str, document_id: str, reason: str, folder: Path) -> SourceDocument:
    """A document that was dropped from a unit for a reason, read from its source again.

    folder: where the recipe's `files` start from. Raises a `GptsDataError` that says why the source cannot be read.
    """
    recipe = recipe_source(mix, source)
    options = FetchOptions(None, PATIENCE)
    part = _unit(mix, recipe, unit, folder, options)
    limit = score_limit(recipe, reason)
    if limit:  # the score takes the place of the URL
        recipe = replace(recipe, at_least={}, below={}, url=limit[0])
    for row in _rows(recipe, part, document_id, options):
        (values,) = row.to_pylist()
        if limit:
            score = _number(values["url"])
            # Others with this id may have been within the bounds.
            if score is None or not (score >= limit[1] if limit[2] else score < limit[1]):
                return SourceDocument(values["text"], None, score)
        elif reason == (values["fault"] or _filter_reason(row, cleaning(mix, source)) or reason):
            return SourceDocument(values["text"], values["url"], None)
    raise SourceUnavailableError(f"{unit} has no document {document_id!r}")


def score_limit(source: RecipeSource, reason: str) -> tuple[str, float, bool] | None:
    """The limit of a score that a reason names: column, limit, whether it is a minimum. None for other reasons."""
    reasons = ((f"{LOW if limit[2] else HIGH}{limit[0]}", limit) for limit in source.bounds.limits)
    return next((limit for name, limit in reasons if name == reason), None)


def recipe_source(mix: Mix, source: str) -> RecipeSource:
    """The `[[source]]` table of a source of the mix, at the revision that was read."""
    recipe = to_dataclass(mix, mix.manifest["recipe"]["source"][mix.sources.index(source)], RecipeSource)
    return replace(recipe, revision=mix.manifest["sources"][source]["revision"], integrity="stream")


def cleaning(mix: Mix, source: str) -> CleanConfig:
    """The filters of a source of the mix."""
    recipe = mix.manifest["recipe"]
    config = to_dataclass(mix, recipe["source"][mix.sources.index(source)].get("clean") or recipe["clean"], CleanConfig)
    try:
        check_clean(config)
    except RecipeError as error:
        raise VerificationError(f"{mix.path}: the recipe in the manifest has {error}") from error
    return config


def to_dataclass(mix: Mix, table: Mapping[str, Any], kind: type[Table]) -> Table:
    """A table of the recipe in the manifest, as a dataclass. Raises `VerificationError` for values of other types."""
    try:
        return convert(table, kind)
    except JsonError as error:
        raise VerificationError(f"{mix.path}: the recipe in the manifest has {error}") from error


def _unit(mix: Mix, source: RecipeSource, name: str, folder: Path, options: FetchOptions) -> Unit:
    listed = mix.manifest["sources"][source.name]["files"]
    names = [file["name"] for file in listed if name.startswith(f"{file['name']}:")]
    if names:
        file_name = max(names, key=len)
        file = _file(source, next(file for file in listed if file["name"] == file_name), folder, options)
        for unit in split_units(source, file, mix.manifest["recipe"]["unit"], options):
            if unit.name == name:
                return unit
    known = {(file["name"], file["size"], file["sha256"]) for file in listed}
    for file in list_files(source, folder, options).files:  # many small files are read as one
        if name.startswith(f"{file.name}:") and known.issuperset((f.name, f.size, f.sha256) for f in file.members):
            return split_units(source, file, mix.manifest["recipe"]["unit"], options)[0]
    raise SourceUnavailableError(f"the files of {source.name} have no unit {name}")


def _file(source: RecipeSource, listed: Mapping[str, Any], folder: Path, options: FetchOptions) -> SourceFile:
    """The file of a source on this machine or on the hub. Raises a `GptsDataError` when it is not there or changed."""
    if source.dataset or any(is_address(pattern) for pattern in source.files):
        files = list_files(source, folder, options).files
        matches = [file for file in files if file.name == listed["name"] and file.size == listed["size"]]
    else:
        paths = [Path(path) for path in local_files(source, folder)]
        found = [path for path in paths if path.as_posix().endswith(f"/{listed['name']}")]
        same = [path for path in found if path.stat().st_size == listed["size"]]
        matches = [SourceFile(listed["name"], str(path), listed["size"], listed["sha256"]) for path in same]
        matches = [file for file in matches if file_digest(Path(file.location)) == file.sha256]
    if not matches:
        raise SourceUnavailableError(f"{folder} has no {listed['name']} as when the mix was built")
    return matches[0]


def _rows(source: RecipeSource, unit: Unit, document_id: str, options: FetchOptions) -> Iterator[pa.RecordBatch]:
    """The documents of a unit with this id, the last first: of those with one id, the first may have been kept."""
    rows: list[pa.RecordBatch] = []
    for batch in read(source, unit, options):
        names = pc.coalesce(batch.column("id"), batch.column("place"))
        rows += [batch.slice(i, 1) for i in pc.indices_nonzero(pc.equal(names, document_id)).to_pylist()]
    yield from reversed(rows)


def _filter_reason(row: pa.RecordBatch, clean: CleanConfig) -> str | None:
    reason: str | None = get_cleaner(clean).clean(row)[1][0].as_py()
    return reason


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def why_not(error: Exception, folder: Path) -> str:
    """One sentence on why a source could not be read again, and what to do."""
    return f"The source cannot be read again: {error}. Name the recipe's folder with --sources (now {folder})"

"""`files = "hf://datasets/owner/name@revision/data/*.parquet"`: the same as `dataset`, `revision` and `files` apart."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, TypeVar, cast
from urllib.parse import unquote

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.readers.source import FileSet

Table = TypeVar("Table", bound=FileSet)

HUB = "hf://"
_ADDRESS = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.*))?")


def split_hub_addresses(table: Table) -> Table:
    """A source or benchmark whose hub addresses in `files` became `dataset`, `revision` and paths inside the dataset.

    Raises `RecipeError` for an address that is none, and for addresses of several datasets in one table.
    """
    if not any(pattern.startswith(HUB) for pattern in table.files):
        return table
    what = f"{table.kind} {table.name!r}"
    matches = [_ADDRESS.fullmatch(pattern) for pattern in table.files]
    for pattern, match in zip(table.files, matches, strict=True):
        if match is None:
            raise RecipeError(f"{what}: files = {pattern!r}, expected hf://datasets/owner/name/path/*.parquet")
    parts = [(match[1], match[2], match[3]) for match in matches if match]
    dataset, revision, _ = parts[0]
    if any(part[:2] != (dataset, revision) for part in parts) or table.dataset:
        raise RecipeError(f"{what}: files = names several datasets or revisions; write one [[{table.kind}]] for each")
    if revision and table.revision:
        raise RecipeError(f"{what}: files = names a revision, and so does revision =; expected one of them")
    files = tuple(path for _, _, path in parts if path)
    revision = unquote(revision) if revision else table.revision
    return cast(Table, replace(cast(Any, table), dataset=dataset, revision=revision, files=files))

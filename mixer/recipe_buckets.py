"""Quality buckets: sources that read the same files and differ in the scores that they accept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.readers.source import Source

OWN_KEYS = ("name", "weight", "at_least", "below", "clean", "license", "max_epochs")
"""Keys of a `[[source]]` table that may differ between the buckets of a group."""


def draw_name(sources: Sequence[Source], source: Source) -> str:
    """The name that the draw order of a source depends on: its own, or that of its group's first bucket.

    Sources are buckets of one group when all keys but OWN_KEYS and the columns that are read are the same, and at least
    one of them has `below`. They draw the same units in the same order, so that a build reads each unit once.
    """
    group = [other for other in sources if _reading(other) == _reading(source)]
    return group[0].name if any(other.below for other in group) else source.name


def check_bounds(source: Source) -> None:
    """Raise `RecipeError` when no score can be both at least one bound and below the other."""
    for column in sorted(source.at_least.keys() & source.below.keys()):
        if not source.at_least[column] < source.below[column]:
            raise RecipeError(
                f"source {source.name!r}: at_least.{column} = {source.at_least[column]} and below.{column} = "
                f"{source.below[column]}, expected at_least lower than below: no score passes both"
            )


def _reading(source: Source) -> list[Any]:
    """How a source is read, without what its buckets may have of their own."""
    return [source.columns, *(getattr(source, key.name) for key in fields(source) if key.name not in OWN_KEYS)]

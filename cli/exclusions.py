"""What commands say about the lists of `[exclude]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gpts_data.cli.terminal import echo

if TYPE_CHECKING:
    from gpts_data.mixer.format.manifest_types import ExclusionEntry
    from gpts_data.mixer.recipe_exclude import ExclusionList


def show_unmatched(entries: Iterable[ExclusionEntry]) -> None:
    """Name the lists that no document of a mix is in."""
    for entry in entries:
        if not entry["documents"]:
            echo(
                f"exclude.{entry['kind']}: {entry['file']} ({entry['entries']:,} entries) has no document of those "
                "that were read and passed the filters; gpts-data trace shows how ids and URLs look"
            )


def exclusion_lines(lists: Iterable[ExclusionList]) -> Iterator[str]:
    """What `plan` says of the lists: it does not search its sample for them."""
    for exclusion in lists:
        yield (
            f"exclude.{exclusion.kind}: {exclusion.file} has {len(exclusion.entries):,} entries; the documents that "
            "they drop are not estimated"
        )

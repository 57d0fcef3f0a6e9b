"""The folder of `--keep-units`: which tokenizers its units were made with, and which units it holds for a recipe.

DIR/SOURCE/<key>.arrow ...                      units; their keys do not tell the tokenizer
DIR/.gpts-data-tokenizers/<digest>/...          copies of the tokenizers, so that the units can be used without a mix
"""

from __future__ import annotations

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.exclude import Excluder
from gpts_data.mixer.stages.rounds import SourceUnits, dedup_units
from gpts_data.mixer.workspace import TOKENIZERS
from gpts_data.pipelines.execute import InProcess
from gpts_data.pipelines.storage.atomic_files import write_bytes
from gpts_data.pipelines.storage.listing import list_folder
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import FILES, Artifact

DIGEST = 16  # characters of the digest in a folder's name


def keep_tokenizer(units: AnyPath, tokenizer: Artifact) -> None:
    """Copy a tokenizer into a folder of kept units, unless it is there."""
    copy_tokenizer(tokenizer, units / TOKENIZERS / tokenizer.digest[:DIGEST])


def copy_tokenizer(tokenizer: Artifact, folder: AnyPath) -> None:
    """Copy the files of a tokenizer, tokenizer.json last, unless that is there."""
    for name in (*FILES[1:], FILES[0]) if not (folder / FILES[0]).exists() else ():
        if (tokenizer.folder / name).exists():
            write_bytes(folder / name, (tokenizer.folder / name).read_bytes())


def kept_tokenizers(units: AnyPath) -> list[AnyPath]:
    """The folders of the tokenizers that the units in a folder were made with, by name."""
    folder = units / TOKENIZERS
    return sorted(list_folder(folder), key=str) if folder.is_dir() else []


def is_made_with(plan: Plan, tokenizer: Artifact) -> bool:
    """Whether the first unit of each source was prepared with this tokenizer."""
    return all(SourceUnits(plan, i, tokenizer).is_begun() for i in range(len(plan.recipe.source)))


def dedup_kept(plan: Plan, tokenizer: Artifact) -> tuple[list[SourceUnits], list[list[DedupedUnit]]]:
    """The units that `plan.units` holds for each source, in recipe order, and their verdicts after deduplication.

    A source's units are used in draw order up to the first that is missing or damaged. Nothing is read from the
    sources but their listings and footers, and nothing is written but the index of deduplication in `plan.work`. No
    document is beyond a budget.
    """
    sources = [SourceUnits(plan, i, tokenizer) for i in range(len(plan.recipe.source))]
    for source in sources:
        source.take_kept()
        source.needed = sum(receipt["tokens"] for receipt in source.receipts) + 1
    return sources, dedup_units(plan, tokenizer, sources, Excluder(plan.exclusions), InProcess())

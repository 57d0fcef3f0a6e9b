"""FINALIZE: collect the manifest from the receipts of all tasks; write the dataset card, and the manifest last."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, starmap
from typing import cast

from gpts_data.mixer.format.croissant import NAME as CROISSANT
from gpts_data.mixer.format.croissant import croissant
from gpts_data.mixer.format.dataset_card import card
from gpts_data.mixer.format.document_index import index_name
from gpts_data.mixer.format.manifest import write_manifest
from gpts_data.mixer.format.manifest_types import (
    FileEntry,
    Manifest,
    ManifestContent,
    PackingEntry,
    PackingPart,
    RecipeEntry,
    ShardEntry,
    SourceEntry,
)
from gpts_data.mixer.plan import Plan, listing_entry
from gpts_data.mixer.recipe import Validation, resolved
from gpts_data.mixer.stages.assemble import Shard, ShardReceipt
from gpts_data.mixer.stages.contamination import contamination
from gpts_data.mixer.stages.cut import Cut, CutReceipt
from gpts_data.mixer.stages.dedup import DedupedUnit, exclusion_entries
from gpts_data.mixer.stages.document_table import DocumentTable
from gpts_data.mixer.stages.hold_out import HoldOut, HoldOutReceipt
from gpts_data.mixer.stages.rounds import SourceUnits
from gpts_data.mixer.stages.unit_receipt import MAX_NAMED
from gpts_data.mixer.stages.waterfall import overlap, waterfall
from gpts_data.mixer.stages.write_dropped import write_dropped
from gpts_data.pipelines.storage.atomic_files import (
    ContentDigest,
    FileDigest,
    digest_of,
    pretty_json,
    uploads_together,
    write_bytes,
)
from gpts_data.pipelines.storage.listing import list_folder
from gpts_data.pipelines.storage.paths import AnyPath, read_all, read_bytes
from gpts_data.tokenizer.artifact import Artifact

log = logging.getLogger("gpts_data")
CARD = "README.md"


@dataclass(frozen=True)
class MixFiles:
    """The tasks that have written the mix, each with its receipt."""

    cuts: Sequence[Sequence[tuple[Cut, CutReceipt]]]
    """Per source its units."""
    held_out: Sequence[tuple[HoldOut, HoldOutReceipt]]
    """Per source its validation set."""
    shards: Sequence[tuple[Shard, ShardReceipt]]


def finalize(
    plan: Plan,
    tokenizer: Artifact,
    sources: Sequence[SourceUnits],
    deduped: Sequence[Sequence[DedupedUnit]],
    written: MixFiles,
    outcomes: Sequence[FileEntry],
) -> Manifest:
    """Write the card and the manifest of a mix whose tasks have all run, and return the manifest.

    sources, deduped: what PREPARE and DEDUP returned, per source in recipe order. outcomes: the files of `outcomes/`.
    """
    content = _content(plan, tokenizer, sources, deduped, written)
    with uploads_together(plan.folder):
        files = [_write(plan, plan.folder / CARD, card(content).encode())]
        files += read_all(partial(_read, plan), list_folder(tokenizer.folder), plan.folder)
        dropped = write_dropped(plan, tokenizer, [source.tasks for source in sources], deduped)
        files += [*starmap(partial(_entry, plan), dropped), *_files(plan, written)]
        description = pretty_json(croissant(content, [*content["shards"], *outcomes, *files]))
        files += [*outcomes, _write(plan, plan.folder / CROISSANT, description)]
    content["files"] = sorted(files, key=lambda entry: entry["file"])
    for warning in missing_validation(content["sources"], plan.recipe.validation, plan.recipe.window):
        log.warning("%s", warning)
    encoders = {receipt["encoder"] for source in sources for receipt in source.receipts}
    return write_manifest(plan.folder, content, sorted(encoders))


def _content(
    plan: Plan,
    tokenizer: Artifact,
    sources: Sequence[SourceUnits],
    deduped: Sequence[Sequence[DedupedUnit]],
    written: MixFiles,
) -> ManifestContent:
    """The manifest without `files`: card and Croissant description are made from it, and listed there."""
    recipe, names = plan.recipe, plan.recipe.names
    windows = sum(recipe.windows)
    content: ManifestContent = {
        "build_id": plan.build_id(tokenizer),
        "recipe": cast(RecipeEntry, resolved(recipe)),
        "windows": windows,
        "tokens": windows * recipe.window,
        "sources": {name: _source(plan, i, sources[i], deduped[i], written) for i, name in enumerate(names)},
        "waterfall": {name: waterfall(sources[i].receipts, deduped[i]) for i, name in enumerate(names)},
        "overlap": {
            name: dict(zip(names, row, strict=True)) for name, row in zip(names, overlap(deduped), strict=True)
        },
        "tokenizer": {
            "digest": tokenizer.digest,
            "vocab_size": tokenizer.vocab_size,
            "eos_id": tokenizer.eos_id,
        },
        "shards": [_shard(plan, task, receipt) for task, receipt in written.shards],
        "files": [],
    }
    if plan.dtype.name == "uint32":
        content["tokenizer"]["dtype"] = "uint32"
    if recipe.stage:
        content["stages"] = [
            {"start": stage.start, "stop": stage.stop, "sources": dict(zip(names, stage.windows, strict=True))}
            for stage in recipe.stages
        ]
    if decontamination := contamination(plan, deduped):
        content["decontamination"] = decontamination
    if plan.exclusions:
        content["exclusions"] = exclusion_entries(plan.exclusions, deduped)
    return content


def _source(plan: Plan, i: int, source: SourceUnits, deduped: Sequence[DedupedUnit], written: MixFiles) -> SourceEntry:
    recipe = plan.recipe
    windows, tokens = recipe.windows[i], deduped[-1].stop
    pass_windows = plan.pass_windows(i, tokens)
    _, held_out = written.held_out[i]
    return {
        **listing_entry(plan.listings[i]),
        **_packing([receipt for _, receipt in written.cuts[i]]),
        "windows": windows,
        "tokens": windows * recipe.window,
        "share": windows / sum(recipe.windows),
        "documents": sum(receipt["documents"] for _, receipt in written.cuts[i]),
        "files_read": source.files_read,
        "files_total": sum(file.size > 0 for file in plan.listings[i].single_files),
        "integrity": recipe.source[i].integrity,
        "epochs": windows / pass_windows,
        "pass_windows": pass_windows,
        "leftover_tokens": tokens - pass_windows * recipe.window,
        "leftover_documents": sum(receipt["leftover_documents"] for _, receipt in written.cuts[i]),
        "validation": {
            "windows": held_out["windows"],
            "tokens": held_out["windows"] * recipe.window,
            "documents": held_out["documents"]["documents"],
            "leftover_tokens": held_out["tokens"] - held_out["windows"] * recipe.window,
        },
        "damaged": source.damaged()[:MAX_NAMED],
    }


def _packing(receipts: Sequence[CutReceipt]) -> PackingPart:
    """Return the manifest's entry on best-fit packing of a source; it is empty for a recipe without it."""
    packings = [receipt["packing"] for receipt in receipts if "packing" in receipt]
    if not packings:
        return {}
    total: PackingEntry = {
        "padding": sum(packing["padding"] for packing in packings),
        "cuts": sum(packing["cuts"] for packing in packings),
    }
    return {"packing": total}


def missing_validation(sources: Mapping[str, SourceEntry], validation: Validation, window: int) -> Iterator[str]:
    """Yield one sentence for each source without a held-out window, unless the recipe holds nothing out.

    window: its tokens.
    """
    advice = (
        "it needs all others for training: give it more files"
        if validation.minimum
        else f"set [validation] minimum = 1, or raise fraction = {validation.fraction:g}"
    )
    for name, source in sources.items():
        held_out = source["validation"]
        if validation.fraction and not held_out["windows"]:
            found = (
                f"its {held_out['documents']:,} held-out documents have {held_out['leftover_tokens']:,} tokens, which "
                f"fill no window of {window}"
                if held_out["documents"]
                else f"none of its {source['documents']:,} documents was held out"
            )
            yield f"{name}: no validation set: {found}; {advice}"


def _shard(plan: Plan, task: Shard, receipt: ShardReceipt) -> ShardEntry:
    return {
        "file": _name(plan, task.path),
        "windows": receipt["windows"],
        "bytes": receipt["bytes"],
        "sha256": receipt["sha256"],
        "highest_id": receipt["highest_id"],
        "sources": dict(zip(plan.recipe.names, receipt["sources"], strict=True)),
    }


def _files(plan: Plan, written: MixFiles) -> Iterator[FileEntry]:
    """Size and sha256 of the files that tasks have written, except shards."""
    for shard, shard_receipt in written.shards:
        yield _content_entry(plan, shard.sidecar, shard_receipt["sidecar"])
    for cut, cut_receipt in chain.from_iterable(written.cuts):
        yield from _table(plan, cut.documents, cut_receipt)
    for task, receipt in written.held_out:
        yield _entry(plan, task.path, receipt)
        yield from _table(plan, task.documents, receipt["documents"])


def _table(plan: Plan, path: AnyPath, table: DocumentTable) -> Iterator[FileEntry]:
    """The entries of a document table and of its index; none for a table without documents, which has no file."""
    if table["documents"] == 0:
        return
    digest: ContentDigest = {"bytes": table["bytes"], "sha256": table["sha256"], "content": table["content"]}
    yield {**_content_entry(plan, path, digest), "start": table["start"], "documents": table["documents"]}
    yield _content_entry(plan, path.with_name(index_name(path.name)), table["index"])


def _read(plan: Plan, path: AnyPath) -> FileEntry:
    return _entry(plan, path, digest_of(read_bytes(path)))


def _write(plan: Plan, path: AnyPath, content: bytes) -> FileEntry:
    write_bytes(path, content)
    return _entry(plan, path, digest_of(content))


def _entry(plan: Plan, path: AnyPath, digest: FileDigest) -> FileEntry:
    return {"file": _name(plan, path), "bytes": digest["bytes"], "sha256": digest["sha256"]}


def _content_entry(plan: Plan, path: AnyPath, digest: ContentDigest) -> FileEntry:
    return {**_entry(plan, path, digest), "content": digest["content"]}


def _name(plan: Plan, path: AnyPath) -> str:
    return path.relative_to(str(plan.folder)).as_posix()

"""Everything the manifest says, out of the receipts; then the card, and the manifest last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from gpts_data.mixer.format.croissant import NAME as CROISSANT
from gpts_data.mixer.format.croissant import croissant
from gpts_data.mixer.format.dataset_card import card
from gpts_data.mixer.format.document_index import SUFFIX
from gpts_data.mixer.format.manifest import write_manifest
from gpts_data.mixer.plan import Plan, listing_facts
from gpts_data.mixer.recipe import resolved
from gpts_data.mixer.stages.assemble import Shard
from gpts_data.mixer.stages.contamination import contamination
from gpts_data.mixer.stages.cut import Cut, HoldOut
from gpts_data.mixer.stages.dedup import DedupedUnit, overlap
from gpts_data.mixer.stages.prepare import NAMED
from gpts_data.mixer.stages.rounds import SourceUnits
from gpts_data.mixer.stages.write_dropped import write_dropped
from gpts_data.pipelines.dedup.greedy import HELD_OUT
from gpts_data.pipelines.storage.atomic_files import file_digest, write_bytes, write_json
from gpts_data.pipelines.storage.paths import AnyPath, list_folder
from gpts_data.pipelines.storage.receipts import require_receipt
from gpts_data.tokenizer.artifact import Artifact

CARD = "README.md"


def finalize(
    plan: Plan, tokenizer: Artifact, supplies: Sequence[SourceUnits], decided: Sequence[Sequence[DedupedUnit]],
    cuts: Sequence[Sequence[Cut]], held: Sequence[HoldOut], shards: Sequence[Shard],
) -> dict[str, Any]:  # fmt: skip
    """Write card and manifest of a mix whose every task has its receipt; returns the manifest."""
    content = {
        "build_id": plan.build_id(tokenizer),
        "recipe": resolved(plan.recipe),
        "windows": sum(plan.recipe.windows),
        "tokens": sum(plan.recipe.windows) * plan.recipe.window,
        "sources": {
            name: {
                **listing_facts(plan.listings[i]),
                **_source(plan, i, decided[i], cuts[i], held[i]),
                "damaged": supplies[i].damaged()[:NAMED],
            }
            for i, name in enumerate(plan.recipe.names)
        },
        "waterfall": {
            name: waterfall(supplies[i].receipts, decided[i]) for i, name in enumerate(plan.recipe.names)
        },
        **contamination(plan, decided),
        "overlap": {
            name: dict(zip(plan.recipe.names, row, strict=True))
            for name, row in zip(plan.recipe.names, overlap(decided), strict=True)
        },
        "tokenizer": {
            "digest": tokenizer.digest, "vocab_size": tokenizer.vocab_size, "eos_id": tokenizer.eos_id,
        },
        "shards": [_shard(plan, task) for task in shards],
    }  # fmt: skip
    write_bytes(plan.folder / CARD, card(content).encode())
    shown = write_dropped(plan, tokenizer, [supply.tasks for supply in supplies], decided)
    described = [*content["shards"], *_files(plan, tokenizer, cuts, held, shards, shown)]
    write_json(plan.folder / CROISSANT, croissant(content, described))
    content["files"] = _files(plan, tokenizer, cuts, held, shards, [*shown, plan.folder / CROISSANT])
    encoders = {str(receipt["encoder"]) for supply in supplies for receipt in supply.receipts}
    return write_manifest(plan.folder, content, sorted(encoders))


def waterfall(receipts: Sequence[dict[str, Any]], decided: Sequence[DedupedUnit]) -> dict[str, Any]:
    """Every document read: kept (validation among them), or dropped for one reason. read = kept + sum(dropped)."""
    dropped: Counter[str] = Counter()
    for receipt in receipts:
        dropped += Counter(receipt["dropped"])
    for unit in decided:
        dropped += unit.dropped()
    read = sum(receipt["read"] for receipt in receipts)
    validation = sum(unit.count(HELD_OUT) for unit in decided)
    kept = sum(len(unit.codes) - unit.dropped().total() for unit in decided)
    return {"read": read, "kept": kept, "validation": validation, "dropped": dict(sorted(dropped.items()))}


def _source(plan: Plan, i: int, units: Sequence[DedupedUnit], cuts: Sequence[Cut], held: HoldOut) -> dict[str, Any]:
    recipe = plan.recipe
    windows, stream = recipe.windows[i], units[-1].stop
    once = plan.pass_windows(i, stream)
    validation = require_receipt(held.receipt, held.key)
    return {
        "windows": windows,
        "tokens": windows * recipe.window,
        "share": windows / sum(recipe.windows),
        "documents": sum(require_receipt(task.receipt, task.key)["documents"] for task in cuts),
        "integrity": recipe.source[i].integrity,
        "epochs": windows / once,  # passes over its windows; 1 unless max_epochs allowed more
        "pass_windows": once,
        "leftover_tokens": stream - once * recipe.window,  # the end of the last document, behind the last window
        "validation": {
            "windows": validation["windows"],
            "tokens": validation["windows"] * recipe.window,
            "documents": validation["documents"]["documents"],
            "leftover_tokens": validation["tokens"] - validation["windows"] * recipe.window,
        },
    }


def _shard(plan: Plan, task: Shard) -> dict[str, Any]:
    receipt = require_receipt(task.receipt, task.key)
    return {
        "file": _name(plan, task.path),
        "windows": receipt["windows"],
        "bytes": receipt["bytes"],
        "sha256": receipt["sha256"],
        "highest_id": receipt["highest_id"],
        "sources": dict(zip(plan.recipe.names, receipt["sources"], strict=True)),
    }


def _files(
    plan: Plan, tokenizer: Artifact, cuts: Sequence[Sequence[Cut]], held: Sequence[HoldOut], shards: Sequence[Shard],
    shown: Sequence[AnyPath],
) -> list[dict[str, Any]]:  # fmt: skip
    """Every file of the mix besides shards and manifest, with size and sha256, by name."""
    files = [_file(plan, path) for path in (plan.folder / CARD, *list_folder(tokenizer.folder), *shown)]
    for shard in shards:
        files.append({"file": _name(plan, shard.sidecar), **require_receipt(shard.receipt, shard.key)["sidecar"]})
    for tasks in cuts:
        for task in tasks:
            receipt = require_receipt(task.receipt, task.key)
            if receipt["documents"]:
                files += _table(plan, task.documents, receipt)
    for held_out in held:
        receipt = require_receipt(held_out.receipt, held_out.key)
        files.append({"file": _name(plan, held_out.path), "bytes": receipt["bytes"], "sha256": receipt["sha256"]})
        if receipt["documents"]["documents"]:
            files += _table(plan, held_out.documents, receipt["documents"])
    return sorted(files, key=lambda file: str(file["file"]))


def _table(plan: Plan, path: AnyPath, receipt: dict[str, Any]) -> list[dict[str, Any]]:
    """The entries of a document table and its index; `start` and `documents` let a reader find a token's table without
    opening the others."""
    facts = {k: receipt[k] for k in ("bytes", "sha256", "start", "documents")}
    return [
        {"file": _name(plan, path), **facts},
        {"file": _name(plan, path.with_suffix(SUFFIX)), **receipt["index"]},
    ]


def _file(plan: Plan, path: AnyPath) -> dict[str, Any]:
    return {"file": _name(plan, path), "bytes": path.stat().st_size, "sha256": file_digest(path)}


def _name(plan: Plan, path: AnyPath) -> str:
    return path.relative_to(str(plan.folder)).as_posix()

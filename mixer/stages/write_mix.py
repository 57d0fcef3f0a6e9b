"""Run the stages after DEDUP: CUT, validation and ASSEMBLE.

The receipts that the tasks return are passed on, so no receipt is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.stages.assemble import Shard, assemble, shard_tasks, write_bounds
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.finalize import MixFiles
from gpts_data.mixer.stages.hold_out import hold_out, hold_out_task
from gpts_data.mixer.stages.merge_cuts import CutFile, cut_file, cut_file_tasks, merged_units
from gpts_data.pipelines.execute import Engine
from gpts_data.pipelines.progress import Progress
from gpts_data.pipelines.storage.atomic_files import uploads_together
from gpts_data.pipelines.storage.receipts import Receipt


def write_mix(
    plan: Plan,
    build_id: str,
    deduped: Sequence[Sequence[DedupedUnit]],
    engine: Engine,
    progress: Progress,
    check_room: Callable[[Sequence[CutFile], Sequence[Shard]], None] = lambda *_: None,
) -> MixFiles:
    """Write shards, validation sets and document tables. The receipts depend on the build id, so another mix never
    reuses them.

    check_room: called with the tasks of CUT and ASSEMBLE before they run.
    """
    merged, numbers = merged_units(deduped), range(len(deduped))
    shards = shard_tasks(plan, deduped, merged, build_id)
    shuffled = shards[0].sources
    tasks = [cut_file_tasks(plan, i, deduped[i], merged, shuffled[i], build_id) for i in numbers]
    check_room([task for source in tasks for task in source], shards)
    files = _run("cut", engine, cut_file, [task for source in tasks for task in source], progress)
    by_source = [[(task, files[task.key]) for task in source] for source in tasks]
    cuts = [[pair for task, file in pairs for pair in zip(task.cuts, file["cuts"], strict=True)] for pairs in by_source]
    held_out = [hold_out_task(plan, i, cuts[i], build_id) for i in numbers]
    validation = _run("validation", engine, hold_out, held_out, progress)
    with uploads_together(plan.work):
        for source, cut_files in zip(shuffled, by_source, strict=True):
            write_bounds(source, cut_files)
    written = _run("shards", engine, assemble, shards, progress)
    return MixFiles(
        cuts,
        [(task, validation[task.key]) for task in held_out],
        [(shard, written[shard.key]) for shard in shards],
    )


def _run(
    stage: str, engine: Engine, function: Callable[[Any], Receipt], tasks: Sequence[Any], progress: Progress
) -> dict[str, Receipt]:
    """Run the tasks of a stage. Returns their receipts by key."""
    receipts: dict[str, Receipt] = {}
    for receipt in engine.map(function, tasks):
        receipts[str(receipt["key"])] = receipt
        progress(stage, "", len(receipts), len(tasks))
    return receipts

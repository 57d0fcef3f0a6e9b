"""Best-fit packing of prepared units: each unit's training documents lie in whole windows of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.plan import Plan
from gpts_data.mixer.recipe import BEST_FIT
from gpts_data.mixer.schedule.packing import Packing, best_fit
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.unit_file import document_columns
from gpts_data.pipelines.dedup.greedy import TRAIN
from gpts_data.pipelines.storage.paths import read_all


def pack_units(plan: Plan, deduped: Sequence[Sequence[DedupedUnit]]) -> list[list[DedupedUnit]]:
    """The units of each source at their places in its stream of windows; as they are, unless the recipe packs them.

    A unit holds thousands of documents, enough to fill windows well, so it is packed by itself: units are then cut in
    parallel, and a larger budget changes only the last unit.
    """
    if plan.recipe.packing.mode != BEST_FIT:
        return [list(units) for units in deduped]
    window = plan.recipe.window
    packed: list[list[DedupedUnit]] = []
    for units in deduped:
        start = 0
        packed.append([])
        packings = read_all(lambda unit: pack(unit, window), units, plan.folder)
        for unit, packing in zip(units, packings, strict=True):
            packed[-1].append(replace(unit, start=start, tokens=packing.windows * window, packed_window=window))
            start = packed[-1][-1].stop
    return packed


def pack(unit: DedupedUnit, window: int) -> Packing:
    """The places of a unit's training documents, from the unit's beginning on, in the order of the unit file."""
    tokens, _, _ = document_columns(unit.path)
    return best_fit(tokens[unit.codes == TRAIN], window)


def rows_in_stream_order(unit: DedupedUnit, code: int) -> NDArray[np.int64]:
    """The rows in the unit file of the documents with the verdict `code`, in the order of their document table."""
    rows = np.flatnonzero(unit.codes == code)
    if code == TRAIN and unit.packed_window:
        rows = rows[np.argsort(pack(unit, unit.packed_window).starts)]
    return rows

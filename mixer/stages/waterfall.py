"""How many documents of a source were read, kept, and dropped for which reason; and which sources repeat each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from gpts_data.mixer.format.manifest_types import WaterfallEntry
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.unit_receipt import UnitReceipt
from gpts_data.pipelines.dedup.greedy import HELD_OUT


def waterfall(receipts: Sequence[UnitReceipt], deduped: Sequence[DedupedUnit]) -> WaterfallEntry:
    """Count what became of each document that was read: kept, or dropped for one reason."""
    dropped: Counter[str] = Counter()
    for receipt in receipts:
        dropped += Counter(receipt["dropped"])
    for unit in deduped:
        dropped += unit.dropped()
    return {
        "read": sum(receipt["read"] for receipt in receipts),
        "kept": sum(len(unit.codes) - unit.dropped().total() for unit in deduped),
        "validation": sum(unit.count(HELD_OUT) for unit in deduped),
        "dropped": dict(sorted(dropped.items())),
    }


def overlap(deduped: Sequence[Sequence[DedupedUnit]]) -> list[list[int]]:
    """Count duplicates by their source (rows) and by the source of the kept document that each repeats (columns).

    Rows and columns are in recipe order.
    """
    ends = np.cumsum([sum(len(unit.codes) for unit in units) for units in deduped])
    return [
        np.bincount(
            np.searchsorted(ends, np.concatenate([[], *(unit.duplicate_of for unit in units)]), side="right"),
            minlength=len(deduped),
        ).tolist()
        for units in deduped
    ]


def describe(entry: WaterfallEntry) -> str:
    """A waterfall as lines of text, the most frequent reason first."""
    read = entry["read"]
    reasons = sorted(entry["dropped"].items(), key=lambda item: (-item[1], item[0]))
    rows = [("read", read), ("kept", entry["kept"]), *reasons]
    width = max(len(f"{count:,}") for _, count in rows)
    return "\n".join(f"  {count:>{width},}  {count / max(read, 1):>6.1%}  {name}" for name, count in rows)

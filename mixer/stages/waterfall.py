"""The waterfall of a source: how many documents were read, kept, and dropped for which reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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


def describe(entry: WaterfallEntry) -> str:
    """A waterfall as lines of text, the most frequent reason first."""
    read = entry["read"]
    reasons = sorted(entry["dropped"].items(), key=lambda item: (-item[1], item[0]))
    rows = [("read", read), ("kept", entry["kept"]), *reasons]
    width = max(len(f"{count:,}") for _, count in rows)
    return "\n".join(f"  {count:>{width},}  {count / max(read, 1):>6.1%}  {name}" for name, count in rows)

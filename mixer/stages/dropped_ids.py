"""The documents that PREPARE drops from a unit: a hash of the id and the reason of each.

They are kept beside the unit file as rows of outcomes.py: a uint64 each, whose lower bits are the number of the reason
among the unit's reasons by name.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from gpts_data.mixer.format.outcomes import ID_SEED, outcome_numbers, pack
from gpts_data.pipelines.storage.atomic_files import FileDigest, write_npy
from gpts_data.pipelines.storage.paths import AnyPath, load_npy
from gpts_data.pipelines.text.hashing import hash_strings


class DroppedIds:
    """Collects the dropped documents of a unit. Memory: 8 bytes each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Dropped documents by reason."""
        self._rows: dict[str, list[NDArray[np.uint64]]] = {}

    def add(self, batch: pa.RecordBatch, reasons: pa.StringArray) -> None:
        """Add the documents of a batch (columns id, place) that have a reason; `reasons` has null for the others."""
        if reasons.null_count == len(reasons):
            return
        names = pc.coalesce(batch.column("id"), batch.column("place"))
        for reason in reasons.unique().drop_null().to_pylist():
            hashes = hash_strings(names.filter(pc.equal(reasons, reason)), ID_SEED)
            self._rows.setdefault(reason, []).append(hashes)
            self.counts[reason] += len(hashes)

    def save(self, path: AnyPath) -> FileDigest:
        """Write the file that `load_dropped` reads."""
        pieces = [np.empty(0, np.uint64)]
        for number, (_, hashes) in enumerate(sorted(self._rows.items())):
            pieces += [pack(piece, np.array(number)) for piece in hashes]
        return write_npy(path, np.concatenate(pieces).astype("<u8"))


def load_dropped(path: AnyPath) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The hashed ids of a unit's dropped documents, and the number of each one's reason among the unit's by name."""
    rows = np.asarray(load_npy(path))
    return rows, outcome_numbers(rows)

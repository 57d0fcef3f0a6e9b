"""Texts of prepared documents, by ordinal. They are decoded from the token ids in the units, byte for byte."""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.pipelines.storage.store_file import open_arrow
from gpts_data.tokenizer.encode import Encoder

OPEN = 64  # units that stay memory-mapped
BATCHES = 64  # that stay in memory, if the units are in a store: 256 MB


class Texts:
    """Reads documents from units, which are added one by one in canonical order."""

    def __init__(self, coder: Encoder) -> None:
        self._coder = coder

        # caches of one object, which end with it: they keep units open

        @lru_cache(maxsize=OPEN)
        def reader(path: AnyPath) -> pa.ipc.RecordBatchFileReader:
            return pa.ipc.open_file(open_arrow(path))

        @lru_cache(maxsize=BATCHES)
        def batch(path: AnyPath, number: int) -> pa.RecordBatch:
            return reader(path).get_batch(number)

        @lru_cache(maxsize=OPEN)
        def first_rows(path: AnyPath) -> NDArray[np.int64]:
            rows = [batch(path, number).num_rows for number in range(reader(path).num_record_batches)]
            return np.cumsum([0, *rows])[:-1]

        self._batch, self._first_rows = batch, first_rows
        self._paths: list[AnyPath] = []
        self._first: list[int] = []

    def add(self, path: AnyPath, first: int) -> None:
        """Add a unit, whose first document has the ordinal `first`."""
        self._paths.append(path)
        self._first.append(first)

    def rewind(self, units: int) -> None:
        """Remove all units but the first `units`."""
        del self._paths[units:], self._first[units:]

    def unit(self, ordinal: int) -> int:
        """The number of the unit that has a document."""
        return bisect_right(self._first, ordinal) - 1

    def place(self, ordinal: int) -> int:
        """The number of the unit that has a document, in the bits from 32 on, and the document's row in it."""
        unit = self.unit(ordinal)
        return (unit << 32) + ordinal - self._first[unit]

    def row(self, ordinal: int) -> pa.RecordBatch:
        """The document's row in its unit (schema prepare.UNIT)."""
        number = self.unit(ordinal)
        path, row = self._paths[number], ordinal - self._first[number]
        first_rows = self._first_rows(path)
        batch = int(np.searchsorted(first_rows, row, side="right")) - 1
        return self._batch(path, batch).slice(row - int(first_rows[batch]), 1)

    def text(self, ordinal: int) -> str:
        """The text of a document."""
        ids = self.row(ordinal).column("ids").flatten().to_numpy()
        return self._coder.decode(ids[:-1])  # without end-of-text

"""A few dropped documents per reason, as examples: those whose ids have the smallest hashes."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpts_data.pipelines.storage.atomic_files import write_bytes
from gpts_data.pipelines.storage.checksums import Checksum, checksum_of
from gpts_data.pipelines.storage.paths import AnyPath, read_bytes
from gpts_data.pipelines.text.hashing import hash_strings

MEASURED = 20_000  # characters of a text that PREPARE keeps; a longer text is not measured
CHARACTERS = 4000  # of a text that are shown


class DroppedSamples:
    """At most `most` documents per reason. Memory: up to twice as many texts of MEASURED characters per reason."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._rows: dict[str, list[tuple[int, dict[str, Any]]]] = {}

    @staticmethod
    def cut(text: str, characters: int = CHARACTERS) -> str:
        """The first characters of a text."""
        return text if len(text) <= characters else text[:characters] + " [...]"

    def add(self, draw: int, row: dict[str, Any]) -> None:
        """Add a document. draw: hash of its id; row: JSON values, with its `reason`."""
        rows = self._rows.setdefault(row["reason"], [])
        rows.append((draw, row))
        if len(rows) > 2 * self.most:
            self._prune(rows)

    def add_batch(self, batch: pa.RecordBatch, reasons: pa.StringArray, unit: str, seed: int) -> None:
        """Add the documents of a batch (columns text, id, url, place) that have a reason. seed: of the id hash."""
        if not self.most or reasons.null_count == len(reasons):
            return
        dropped, reasons = batch.filter(pc.is_valid(reasons)), reasons.drop_null().to_pylist()
        draws = hash_strings(pc.coalesce(dropped.column("id"), dropped.column("place")), seed)
        for row in np.argsort(draws, kind="stable").tolist():
            sampled = self._rows.get(reasons[row], [])
            if len(sampled) < self.most or int(draws[row]) < max(draw for draw, _ in sampled):
                self.add(int(draws[row]), {"reason": reasons[row], **_document(dropped.slice(row, 1), unit)})

    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        """The sampled documents with their draws, by reason, then by draw."""
        for rows in self._rows.values():
            self._prune(rows)
        return [row for _, rows in sorted(self._rows.items()) for row in rows]

    def _prune(self, rows: list[tuple[int, dict[str, Any]]]) -> None:
        rows.sort(key=lambda row: row[0])
        del rows[self.most :]

    def save(self, path: AnyPath) -> Checksum:
        """Write the samples as JSON lines, for `load_samples`."""
        content = "".join(json.dumps(row) + "\n" for row in self.rows()).encode()
        write_bytes(path, content)
        return checksum_of(content)


def load_samples(path: AnyPath) -> list[tuple[int, dict[str, Any]]]:
    """Read what `DroppedSamples.save` wrote."""
    return [(draw, row) for draw, row in map(json.loads, BytesIO(read_bytes(path)))]


def _document(row: pa.RecordBatch, unit: str) -> dict[str, Any]:
    (values,) = row.to_pylist()
    return {
        "id": values["place"] if values["id"] is None else values["id"],
        "url": values["url"],
        "unit": unit,
        "text": DroppedSamples.cut(values["text"], MEASURED),
    }

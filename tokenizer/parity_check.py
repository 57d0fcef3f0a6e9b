"""The proof, in every build, that the fast encoder gives the ids of `tokenizers`: both encode a sample of each unit.

Which documents is decided by the hash of their ids, so it is the same in every run. How many is decided by bytes:
`tokenizers` makes 2 to 3 MB/s where the fast encoder makes 115 to 190. One byte in 4,000, the first ones of each unit
and what the last document has too much cost 4.3 to 5.2% of encoding (125 MB in two units: 16 documents, 52 kB).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.text.hashing import hash_strings
from gpts_data.tokenizer.encode import Encoder

ONE_IN = 4000  # bytes of text
FIRST_BATCH_BYTES = (
    6000  # bytes beside those, in the first batch of a unit: a few documents of every unit, however small
)
EXCERPT = 8000  # characters of a document that are compared: of a longer one, the first ones
SEED = 0x9F00F  # other documents than the validation's
SHOWN_IDS = 4  # ids that a message shows


class ParityCheck:
    """The proof of one unit. `documents` and `text_bytes` say what was compared."""

    def __init__(self, encoder: Encoder, unit: str) -> None:
        self._encoder, self._unit = encoder, unit
        self._allowance = FIRST_BATCH_BYTES
        self.documents = self.text_bytes = 0

    def check(self, names: pa.Array, texts: pa.Array, ids: NDArray[np.uint16], lengths: NDArray[np.uint32]) -> None:
        """Compare some documents of a batch: `ids` and `lengths` are what the encoder gave for `texts`.

        Raises `DataError` for one whose ids differ, naming unit, document and place.
        """
        if self._encoder.is_reference:
            return
        self._allowance += (texts.nbytes - 4 * len(texts)) // ONE_IN
        ends = np.cumsum(lengths, dtype=np.int64)
        for row in np.argsort(hash_strings(names, SEED), kind="stable").tolist():
            if self._allowance <= 0:
                return
            self._compare(names[row].as_py(), texts[row].as_py(), ids[ends[row] - lengths[row] : ends[row] - 1])

    def _compare(self, name: str, text: str, ids: NDArray[np.uint16]) -> None:
        if len(text) > EXCERPT:
            text = text[:EXCERPT]
            ids = self._encoder.encode([text])[0][:-1]
        size = len(text.encode())
        self._allowance -= max(size, 1)
        self.documents += 1
        self.text_bytes += size
        expected = np.array(self._encoder.reference.encode_one(text), dtype=np.uint32)
        if not np.array_equal(ids, expected):
            raise DataError(self._difference(name, ids.tolist(), expected.tolist()))

    def _difference(self, name: str, found: list[int], expected: list[int]) -> str:
        pairs = zip(found, expected, strict=False)
        place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(expected)))
        return (
            f"{self._unit}, document {name!r}: {self._encoder.name} gives other ids than "
            f"{self._encoder.reference.name}; from token {place:,} on "
            f"found {found[place : place + SHOWN_IDS]}, expected {expected[place : place + SHOWN_IDS]}; "
            "run the same command with --encoder tokenizers: it goes on, and makes the units again that were made "
            "with the other"
        )

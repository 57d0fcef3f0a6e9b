"""Check in every build that the fast encoder gives the ids of `tokenizers`: both encode a sample of each unit.

The sample is chosen by the hash of the document ids, so it is the same in every run. Its size is limited in bytes,
since `tokenizers` encodes 2 to 3 MB/s and the fast encoder 115 to 190 MB/s: one byte in 4,000, and 6,000 bytes at the
start of each unit, take 4.3 to 5.2% of the encoding time (125 MB in two units: 16 documents, 52 kB).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.text.hashing import hash_strings
from gpts_data.tokenizer.artifact import TokenIds
from gpts_data.tokenizer.encode import Encoder

ONE_IN = 4000  # bytes of text
FIRST_BATCH_BYTES = 6000  # beside those, in the first batch: a few documents of every unit, however small
EXCERPT = 8000  # characters compared at the beginning of a document
SEED = 0x9F00F  # so that the sample is not the validation set, which is chosen by a hash too
SHOWN_IDS = 4  # in an error message


class ParityCheck:
    """The check of one unit. `documents` and `text_bytes` count what was compared."""

    def __init__(self, encoder: Encoder, unit: str) -> None:
        self._encoder, self._unit = encoder, unit
        self._allowance = FIRST_BATCH_BYTES
        self.documents = self.text_bytes = 0

    def check(self, names: pa.Array, texts: pa.Array, ids: TokenIds, lengths: NDArray[np.uint32]) -> None:
        """Compare some documents of a batch; `ids` and `lengths` are what the encoder gave for `texts`.

        Raises `DataError` when the ids of a document differ, naming unit, document and position.
        """
        if self._encoder.is_reference:
            return
        self._allowance += (texts.nbytes - 4 * len(texts)) // ONE_IN
        ends = np.cumsum(lengths, dtype=np.int64)
        for row in np.argsort(hash_strings(names, SEED), kind="stable").tolist():
            if self._allowance <= 0:
                return
            self._compare(names[row].as_py(), texts[row].as_py(), ids[ends[row] - lengths[row] : ends[row] - 1])

    def _compare(self, name: str, text: str, ids: TokenIds) -> None:
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
        first = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(found), len(expected)))
        return (
            f"{self._unit}, document {name!r}: {self._encoder.name} gives other ids than "
            f"{self._encoder.reference.name}; from token {first:,} on "
            f"found {found[first : first + SHOWN_IDS]}, expected {expected[first : first + SHOWN_IDS]}; "
            "run the same command with --encoder tokenizers: it resumes the build and encodes again the units that "
            "were encoded with the other"
        )

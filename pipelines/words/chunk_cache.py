"""What a chunk of text, the run between two whitespaces, splits into where affixes.py does not know: looked up.

The table holds one entry per such chunk, as spacy_rules.py splits it: its 64-bit hash and where its words begin, one
bit a byte, or a place in a list for chunks of more than 63 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import kernel
from gpts_data.pipelines.text.hash_table import insert, slot_of
from gpts_data.pipelines.text.hashing import U0, U1, hash_bytes
from gpts_data.pipelines.words.spacy_rules import english

# 16 bytes a slot, at most half used: 32 MB a process when full. The table is emptied then: English has a long tail of
# chunks, and the common ones come back within a few documents.
MAX_CHUNKS = 1_000_000
_LONG = 64  # bytes; bit 0 of a mask is always set, so a clear one tells a place in the list


class ChunkCache:
    """The table."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.keys = np.zeros(1 << 16, dtype=np.uint64)
        self.masks = np.zeros(1 << 16, dtype=np.uint64)
        self.long = np.zeros(0, dtype=np.int64)
        """Of long chunks: how many words, then where each begins."""
        self.used = 0

    def add(self, chunks: Sequence[bytes]) -> None:
        """Put chunks that are not in the table into it."""
        if self.used + len(chunks) > MAX_CHUNKS:
            self.clear()
        words = [english().words(chunk.decode()) for chunk in chunks]
        counts = np.array([len(of_one) for of_one in words])
        widths = np.array([len(word.encode()) for of_one in words for word in of_one])
        keys, masks, long = _entries(np.frombuffer(b"".join(chunks), np.uint8), widths, counts, len(self.long))
        self.long = np.concatenate([self.long, long])
        self._insert(keys, masks)

    def _insert(self, keys: NDArray[np.uint64], masks: NDArray[np.uint64]) -> None:
        size = len(self.keys)
        while 2 * (self.used + len(keys)) > size:
            size *= 2
        if size > len(self.keys):
            old = self.keys.nonzero()[0]
            old_keys, old_masks = self.keys[old], self.masks[old]
            self.keys, self.masks = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint64)
            insert(self.keys, self.masks, old_keys, old_masks)
        self.used += insert(self.keys, self.masks, keys, masks)


@lru_cache(maxsize=1)
def chunks() -> ChunkCache:
    """The table of this process. It changes nothing but the time that a text takes."""
    return ChunkCache()


@kernel
def _entries(data, widths, counts, n_long):  # type: ignore[no-untyped-def]
    """Keys and masks of chunks that lie in `data` one behind the other, and what the list gets: see `Chunks`."""
    keys, masks = np.empty(len(counts), dtype=np.uint64), np.zeros(len(counts), dtype=np.uint64)
    long = np.empty(len(counts) + len(widths), dtype=np.int64)
    begin_at = word = added = 0
    for row in range(len(counts)):
        width = widths[word : word + counts[row]].sum()
        keys[row] = hash_bytes(data, begin_at, begin_at + width)
        short, start = width < _LONG, 0
        if not short:
            masks[row] = np.uint64(n_long + added) << U1
            long[added] = counts[row]
        for k in range(counts[row]):
            if short:
                masks[row] |= U1 << np.uint64(start)
            else:
                long[added + 1 + k] = start
            start += widths[word + k]
        added += 0 if short else counts[row] + 1
        begin_at, word = begin_at + width, word + counts[row]
    return keys, masks, long[:added]


@kernel
def chunk_words(data, i, end, keys, masks, long, cuts):  # type: ignore[no-untyped-def]
    """Where the words of the chunk data[i:end] begin into `cuts`; their number, 0 if the table does not have it.

    `cuts` needs room for one more than the chunk has bytes.
    """
    slot = slot_of(keys, hash_bytes(data, i, end))
    if keys[slot] == U0:
        return 0
    mask = masks[slot]
    n = 0
    if mask & U1:
        while mask:
            if mask & U1:
                cuts[n] = i
                n += 1
            mask >>= U1
            i += 1
    else:
        place = np.int64(mask >> U1)
        n = long[place]
        for k in range(n):
            cuts[k] = i + long[place + 1 + k]
    cuts[n] = end
    return n

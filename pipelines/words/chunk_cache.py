"""A cache of the words of those chunks (runs between two whitespaces) that affixes.py leaves to spacy_rules.py.

Each chunk has one slot in a hash table, with its 64-bit hash and a mask that has a bit for each byte where a word
begins. For chunks of more than 63 bytes the mask is an index into a list instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, UInt64Array, inner_kernel, kernel
from gpts_data.pipelines.text.hash_table import insert, slot_of
from gpts_data.pipelines.text.hashing import U0, U1, hash_bytes
from gpts_data.pipelines.words.spacy_rules import english

# A slot takes 16 bytes and at most half of the slots are used: 32 MB a process when full. The table is then emptied:
# English has a long tail of rare chunks, and the common ones are back within a few documents.
MAX_CHUNKS = 1_000_000
_LONG = 64  # bytes; bit 0 of a mask is always set, as a word begins there; if it is clear, the rest is an index


class ChunkTable(NamedTuple):
    """The arrays of the cache, for `chunk_words`."""

    keys: UInt64Array
    """Hashes of chunks, 0 for an empty slot: shape (slots,), a power of two."""
    masks: UInt64Array
    """Where the words of the chunk in the same slot begin."""
    long: Int64Array
    """For each long chunk: its number of words, then the offset of each."""


class ChunkCache:
    """The chunks that this process met, and their words."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all chunks."""
        self.table = _empty_table(1 << 16, np.zeros(0, dtype=np.int64))
        self.used = 0

    def add(self, chunks: Sequence[bytes]) -> None:
        """Split chunks that are not in the table yet, and insert them."""
        if self.used + len(chunks) > MAX_CHUNKS:
            self.clear()
        words = [english().words(chunk.decode()) for chunk in chunks]
        counts = np.array([len(chunk_words) for chunk_words in words])
        widths = np.array([len(word.encode()) for chunk_words in words for word in chunk_words])
        data = np.frombuffer(b"".join(chunks), np.uint8)
        keys, masks = np.empty(len(counts), np.uint64), np.zeros(len(counts), np.uint64)
        long = np.empty(len(counts) + len(widths), np.int64)
        n = _entries(data, widths, counts, len(self.table.long), keys, masks, long)
        self.table = self.table._replace(long=np.concatenate([self.table.long, long[:n]]))
        self._insert(keys, masks)

    def _insert(self, keys: NDArray[np.uint64], masks: NDArray[np.uint64]) -> None:
        old, size = self.table, len(self.table.keys)
        while 2 * (self.used + len(keys)) > size:
            size *= 2
        if size > len(old.keys):
            self.table = _empty_table(size, old.long)
            used = old.keys.nonzero()[0]
            insert(self.table.keys, self.table.masks, old.keys[used], old.masks[used])
        self.used += insert(self.table.keys, self.table.masks, keys, masks)


def _empty_table(size: int, long: NDArray[np.int64]) -> ChunkTable:
    return ChunkTable(np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.uint64), long)


@lru_cache(maxsize=1)
def chunks() -> ChunkCache:
    """Return the cache of this process. It affects only how long a text takes."""
    return ChunkCache()


@kernel
def _entries(
    data: UInt8Array,
    widths: Int64Array,
    counts: Int64Array,
    n_long: int,
    keys: UInt64Array,
    masks: UInt64Array,
    long: Int64Array,
) -> int:
    """Write the keys and masks of chunks that follow each other in `data`, and what to append to `ChunkTable.long`.

    `widths` has the bytes of each word, `counts` the words of each chunk; `n_long` is the length of `ChunkTable.long`
    so far. `masks` must be zeros; `long` needs room for all words and chunks. Returns how much of it is used.
    """
    begin = word = added = 0
    for row in range(len(counts)):
        width = 0
        for k in range(word, word + counts[row]):
            width += widths[k]
        keys[row] = hash_bytes(data, begin, begin + width)
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
        begin, word = begin + width, word + counts[row]
    return added


@inner_kernel
def chunk_words(data: UInt8Array, i: int, end: int, table: ChunkTable, cuts: Int64Array) -> int:
    """Write where the words of the chunk data[i:end] begin, and `end`, to `cuts`.

    Returns the number of words, 0 if the table does not have the chunk. `cuts` needs one element more than the chunk
    has bytes.
    """
    slot = slot_of(table.keys, hash_bytes(data, i, end))
    if table.keys[slot] == U0:
        return 0
    mask = table.masks[slot]
    n = 0
    if mask & U1:
        while mask:
            if mask & U1:
                cuts[n] = i
                n += 1
            mask >>= U1
            i += 1
    else:
        index = np.int64(mask >> U1)
        n = table.long[index]
        for k in range(n):
            cuts[k] = i + table.long[index + 1 + k]
    cuts[n] = end
    return n

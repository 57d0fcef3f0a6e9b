"""Eight bytes of text at a time, as one number whose lowest byte is the first.

A block is assembled byte by byte (LLVM makes one load of it), so it does not depend on the machine's byte order. A mask
has 0xFF for each byte at the beginning of a block that it selects, and 0 for all bytes after those.
"""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import UInt8Array, inner_kernel

ONES, TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_CASES, _LOWER_BITS = ONES * np.uint64(0x20), ONES * np.uint64(0x7F)
_FROM_A, _BEYOND_Z, _FROM_VISIBLE = (ONES * np.uint64(0x80 - first) for first in (ord("a"), ord("z") + 1, ord("!")))
_ZERO, _ONE, _SEVEN, _EIGHT, _LAST_BYTE = (np.uint64(n) for n in (0, 1, 7, 8, 56))


@inner_kernel
def load_block(data: UInt8Array, i: int) -> np.uint64:
    """Return data[i : i + 8] as a block."""
    block = _ZERO
    for k in range(8):
        block |= np.uint64(data[i + k]) << np.uint64(8 * k)
    return block


@inner_kernel
def letters(block: np.uint64) -> np.uint64:
    """Return a mask of the ASCII letters at the beginning."""
    lower = (block | _CASES) & _LOWER_BITS
    return _before(~((lower + _FROM_A) & ~(lower + _BEYOND_Z)) | block)


@inner_kernel
def visible(block: np.uint64) -> np.uint64:
    """Return a mask of the ASCII characters from "!" on at the beginning, which are no whitespace."""
    return _before(~((block & _LOWER_BITS) + _FROM_VISIBLE) | block)


@inner_kernel
def _before(marks: np.uint64) -> np.uint64:
    """Return a mask of the bytes before the first whose top bit is set in `marks`."""
    marks &= TOPS
    return ((marks & (_ZERO - marks)) >> _SEVEN) - _ONE


@inner_kernel
def n_bytes(mask: np.uint64) -> int:
    """Return how many bytes are in the mask."""
    return np.int64(((mask & ONES) * ONES) >> _LAST_BYTE)  # type: ignore[return-value]


@inner_kernel
def first_highest(block: np.uint64, n: int) -> np.uint64:
    """Return the first `n` bytes of the block, 1 to 8, as a number whose highest byte is the first."""
    number = _ZERO
    for k in range(8):
        number |= ((block >> np.uint64(8 * k)) & np.uint64(0xFF)) << np.uint64(56 - 8 * k)
    return number >> (_EIGHT * np.uint64(8 - n))

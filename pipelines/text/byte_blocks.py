"""Eight bytes of text at a time, as one number whose lowest byte is the first (`load_block`)."""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.kernel import inner_kernel
from gpts_data.pipelines.text.hashing import U0, U1, U7

ONES, TOPS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_CASES, _LOWER_BITS = ONES * np.uint64(0x20), ONES * np.uint64(0x7F)
_FROM_A, _BEYOND_Z = ONES * np.uint64(0x80 - ord("a")), ONES * np.uint64(0x7F - ord("z"))
_U56 = np.uint64(56)


@inner_kernel
def letters(block: np.uint64) -> np.uint64:
    """Return a mask of the ASCII letters at the beginning: 0xFF for each, 0 from the first other byte on."""
    lower = (block | _CASES) & _LOWER_BITS
    others = (~((lower + _FROM_A) & ~(lower + _BEYOND_Z)) | block) & TOPS
    first = others & (U0 - others)  # the lowest bit that is set, if any
    return (first >> U7) - U1


@inner_kernel
def n_bytes(mask: np.uint64) -> int:
    """Return how many bytes are in the mask."""
    return np.int64(((mask & ONES) * ONES) >> _U56)  # type: ignore[return-value]

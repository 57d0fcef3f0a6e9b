"""Blocks of eight bytes: the letters at their beginning."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, kernel
from gpts_data.pipelines.text.byte_blocks import letters, n_bytes
from gpts_data.pipelines.text.hashing import load_block


@kernel
def leading_letters(data: UInt8Array, out: Int64Array) -> None:
    mask = letters(load_block(data, 0))
    out[0], out[1] = n_bytes(mask), mask


@given(
    st.lists(st.sampled_from(list(b"azAZ@[`{\x00\x7f\x80\xe1\xfa\xff ")) | st.integers(0, 255), min_size=8, max_size=8)
)
@example(list(b"abcXYZab"))
@example(list(b"@[`{\x81\xc1\xe1\xfa"))
def test_the_letters_at_the_beginning_are_found(block: list[int]) -> None:
    out = np.zeros(2, np.int64)
    leading_letters(np.array(block, np.uint8), out)
    text = bytes(block)
    width = next((i for i, byte in enumerate(text) if not bytes([byte]).isalpha()), 8)
    assert out.tolist() == [width, np.uint64(256**width - 1).astype(np.int64)]

"""Blocks of eight bytes: what is at their beginning."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from gpts_data.pipelines.kernel import Int64Array, UInt8Array, kernel
from gpts_data.pipelines.text.byte_blocks import first_highest, letters, load_block, n_bytes, visible


@kernel
def leading(data: UInt8Array, out: Int64Array) -> None:
    block = load_block(data, 0)
    out[0], out[1], out[2] = n_bytes(letters(block)), letters(block), n_bytes(visible(block))
    for n in range(1, 9):
        out[2 + n] = first_highest(block, n)


@given(
    st.lists(st.sampled_from(list(b"azAZ@[`{\x00\x7f\x80\xe1\xfa\xff !")) | st.integers(0, 255), min_size=8, max_size=8)
)
@example(list(b"abcXYZab"))
@example(list(b"@[`{\x81\xc1\xe1\xfa"))
def test_bytes_at_the_beginning_are_found(block: list[int]) -> None:
    out, text = np.zeros(11, np.int64), bytes(block)
    leading(np.array(block, np.uint8), out)
    n_letters = next((i for i, byte in enumerate(text) if not bytes([byte]).isalpha()), 8)
    n_visible = next((i for i, byte in enumerate(text) if not 0x20 < byte < 0x80), 8)
    assert out[:3].tolist() == [n_letters, np.uint64(256**n_letters - 1).astype(np.int64), n_visible]
    assert out[3:].astype(np.uint64).tolist() == [int.from_bytes(text[:n], "big") for n in range(1, 9)]

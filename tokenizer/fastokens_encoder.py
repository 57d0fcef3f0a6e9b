"""fastokens: the ids of `tokenizers` at 40 to 50 times its speed, on one core, with bounded caches.

Why this one of those with the same ids: Apache-2.0; wheels for Linux (glibc and musl, x86-64 and ARM), macOS and
Windows and every Python from 3.9; caches with a limit (64 MiB of short pieces and 32 MiB of long ones, where
gigatoken 0.10.0, as fast, keeps all it ever saw; snaptokens 0.2.6 has one wheel, Linux on x86-64).
Whether it does for a tokenizer is decided by trying.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

NAME = "fastokens"
THREADS_VARIABLE = "FASTOKENS_BPE_THREADS"  # read once, at the first text; RAYON_NUM_THREADS means nothing to it
_PLANES = [chr(plane << 16 | low) for plane in range(17) for low in (0x21, 0x301, 0x4E00, 0xF600, 0xFFFD)]
PROBE_TEXTS = (
    "",
    "\0",
    "a\0\0b",
    "  \t \n x  ",
    "\r\n\r\n \n",
    "don't DON'T we'll 'S 'ſ",
    "1234567890 １２３ ½Ⅷ",
    "e\u0301 \u0301x \u200d",
    "naïve ﬁ Ǆ ß İ",
    "漢字かな 한국어",
    "\ufeff\ufffe\uffff",
    "<|",
    "endoftext|>",
    " " * 300,
    "ab" * 300,
    "!?" * 300,
    "The quick brown fox; jumps_over 12 lazy-dogs.\n\tif (x >= 10) { return y; }\n",
    "".join(_PLANES),
    " ".join(_PLANES),
)

EncodeText = Callable[[str], list[int]]


class FastokensBackend:
    """One tokenizer in fastokens. Raises what the library raises when it cannot load it."""

    def __init__(self, tokenizer_json: str) -> None:
        os.environ[THREADS_VARIABLE] = "1"  # the workers of the build are the parallelism
        from fastokens import Tokenizer

        self.name = f"{NAME} {version(NAME)}"
        self._tokenizer = Tokenizer.from_json_str(tokenizer_json)
        self._tokenizer.no_truncation()  # a tokenizer saved with it would cut every document
        self._tokenizer.no_padding()

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Ids of all texts one after the other, and each text's count; special tokens in a text are ordinary text."""
        flat, offsets = self._tokenizer.encode_batch_flat(texts, split_special_tokens=True)
        return np.frombuffer(flat, "<u4"), np.diff(np.frombuffer(offsets, "<u8")).astype(np.uint32)


def load_fastokens(tokenizer_json: str, added: list[str], reference: EncodeText) -> FastokensBackend | None:
    """The tokenizer in fastokens. None: not installed, a kind it does not know, or other ids for one of the traps.

    `added` are the strings of its added tokens, special or not: traps of its own.
    """
    try:
        fast = FastokensBackend(tokenizer_json)
        texts = [*PROBE_TEXTS, *added, *(f"a{token} {token}{token}b" for token in added)]
        same = all(fast.ids([text])[0].tolist() == reference(text) for text in texts)
    except Exception:  # ImportError; and the library has no error class of its own
        return None
    return fast if same else None

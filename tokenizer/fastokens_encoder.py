"""The fastokens library: the ids of `tokenizers`, 40 to 50 times as fast on one core.

We use it rather than others with the same ids because it is Apache-2.0, has wheels for Linux (glibc and musl, x86-64
and ARM), macOS, Windows and every Python from 3.9, and because its caches are limited to 64 MiB for short pieces and
32 MiB for long ones. gigatoken 0.10.0 is as fast, but its cache has no limit; snaptokens 0.2.6 has only a wheel for
Linux on x86-64. Whether fastokens supports a tokenizer is found out by comparing ids of difficult texts.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

NAME = "fastokens"
THREADS_VARIABLE = "FASTOKENS_BPE_THREADS"  # read once, at the first text; fastokens ignores RAYON_NUM_THREADS
_PLANES = [chr(plane << 16 | low) for plane in range(17) for low in (0x21, 0x301, 0x4E00, 0xF600, 0xFFFD)]
PROBE_TEXTS = (  # where encoders differ: white space, digits, combining marks, unassigned code points, long runs
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
    """A tokenizer loaded by fastokens. Raises what the library raises when it cannot load it."""

    def __init__(self, tokenizer_json: str) -> None:
        os.environ[THREADS_VARIABLE] = "1"  # a build runs several workers instead
        from fastokens import Tokenizer

        self.name = f"{NAME} {version(NAME)}"
        self._tokenizer = Tokenizer.from_json_str(tokenizer_json)
        self._tokenizer.no_truncation()  # a tokenizer may be saved with truncation, which would cut every document
        self._tokenizer.no_padding()

    def ids(self, texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The ids of all texts in one array and their number per text. Special tokens are encoded as plain text."""
        flat, offsets = self._tokenizer.encode_batch_flat(texts, split_special_tokens=True)
        return np.frombuffer(flat, "<u4"), np.diff(np.frombuffer(offsets, "<u8")).astype(np.uint32)


def load_fastokens(tokenizer_json: str, added: list[str], reference: EncodeText) -> FastokensBackend | None:
    """The tokenizer in fastokens, or None when fastokens is missing, cannot load it, or gives other ids.

    The ids of PROBE_TEXTS, and of texts made from the strings `added` of its added tokens, are compared with those of
    `reference`.
    """
    try:
        fast = FastokensBackend(tokenizer_json)
        probes = [*PROBE_TEXTS, *added, *(f"a{token} {token}{token}b" for token in added)]
        same = all(fast.ids([text])[0].tolist() == reference(text) for text in probes)
    except Exception:  # ImportError, or whatever the library raises: it has no class of its own
        return None
    return fast if same else None

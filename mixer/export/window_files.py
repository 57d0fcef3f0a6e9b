"""The files of windows in a mix, read in chunks for the writers of other formats, and where documents begin in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import UINT16, map_windows
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.tokenizer.artifact import TokenIds

CHUNK = 8192  # windows: 8 MB of ids at 512 a window


@dataclass(frozen=True)
class WindowFile:
    """A file of windows: a shard, or the held-out windows of one source."""

    path: AnyPath
    windows: int
    """Number of windows that are read."""
    size: int
    """Tokens in a window."""
    source: int | None = None
    """Index of the source that all windows come from; None for a shard, whose sidecar has the source of each."""
    shard: tuple[Mix, int] | None = None
    """The mix and the number of the shard in it; None for held-out windows."""
    first: int = 0
    """The file's first window that is read, where only a part of it is."""
    dtype: np.dtype[Any] = UINT16
    """Type of its token ids."""

    def chunks(self) -> Iterator[TokenIds]:
        """Consecutive windows: of type `dtype`, shape (at most CHUNK, size); memory-mapped."""
        rows = map_windows(self.path, self.size, self.dtype)
        for start, stop in self._ranges():
            yield rows[start:stop]

    def sources(self) -> Iterator[NDArray[np.uint8]]:
        """The index of each window's source, in the same chunks: uint8, shape (at most CHUNK,)."""
        last = self.first + self.windows
        indices = sidecar(*self.shard)["source"] if self.shard else np.full(last, self.source, np.uint8)
        for start, stop in self._ranges():
            yield indices[start:stop]

    def halves(self) -> list[WindowFile]:
        """The first and the second half of the windows; the file itself when it has only one."""
        middle = self.windows // 2
        parts = (replace(self, windows=middle), replace(self, windows=self.windows - middle, first=self.first + middle))
        return [part for part in parts if part.windows]

    def _ranges(self) -> Iterator[tuple[int, int]]:
        last = self.first + self.windows
        for start in range(self.first, last, CHUNK):
            yield start, min(start + CHUNK, last)


def train(mix: Mix) -> list[WindowFile]:
    """The shards, in training order. Raises `VerificationError` for one that is not as the manifest says."""
    return [
        WindowFile(mix.file(shard["file"]), shard["windows"], mix.window, shard=(mix, number), dtype=mix.dtype)
        for number, shard in enumerate(mix.manifest["shards"])
    ]


def validation(mix: Mix) -> list[WindowFile]:
    """The files of held-out windows, in recipe order; empty ones are left out. Raises like `train`."""
    counts = [mix.manifest["sources"][name]["validation"]["windows"] for name in mix.sources]
    return [
        WindowFile(mix.file(f"validation/{name}.bin"), counts[i], mix.window, i, dtype=mix.dtype)
        for i, name in enumerate(mix.sources)
        if counts[i]
    ]


def count(files: Sequence[WindowFile]) -> int:
    """The number of windows in several files."""
    return sum(file.windows for file in files)


def document_start_mask(windows: TokenIds, eos_id: int) -> NDArray[np.bool_]:
    """True at each id that begins a document or the part of one: after an end-of-text, and first in a window.

    The first id of a window may be in the middle of a document whose beginning is in another window.
    Takes token ids of shape (n, window), returns bool of the same shape.
    """
    starts = np.empty(windows.shape, np.bool_)
    starts[:, 0] = True
    np.equal(windows[:, :-1], eos_id, out=starts[:, 1:])
    return starts

"""The windows of a mix as other formats want them: file by file, some thousand at a time, and where documents begin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import map_windows
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import VerificationError
from gpts_data.pipelines.storage.paths import AnyPath, load_npy

CHUNK = 8192  # windows: 8 MB of ids at 512 a window


@dataclass(frozen=True)
class WindowFile:
    """A file of windows: a shard, whose sidecar knows each row's source, or the held-out windows of one source."""

    path: AnyPath
    windows: int
    size: int
    source: int | None

    def chunks(self) -> Iterator[NDArray[np.uint16]]:
        """Consecutive windows, uint16 of shape (at most CHUNK, size); memory-mapped."""
        rows = map_windows(self.path, self.size)
        for start in range(0, self.windows, CHUNK):
            yield rows[start : start + CHUNK]

    def sources(self) -> Iterator[NDArray[np.uint8]]:
        """The source's number of each window, uint8, in step with `chunks`."""
        if self.source is not None:
            numbers = np.full(self.windows, self.source, np.uint8)
        else:
            numbers = load_npy(self.path.with_suffix(".windows.npy"))["source"]
        for start in range(0, self.windows, CHUNK):
            yield numbers[start : start + CHUNK]


def train(mix: Mix) -> list[WindowFile]:
    """The shards, in training order. Raises `VerificationError` for one that is not as long as the manifest says."""
    facts = zip(mix.shards, mix.manifest["shards"], strict=True)
    return [_rows(mix, path, shard["windows"], None) for path, shard in facts]


def validation(mix: Mix) -> list[WindowFile]:
    """The held-out windows of the sources that have any, in the recipe's order. Raises `VerificationError`."""
    counts = [int(mix.manifest["sources"][name]["validation"]["windows"]) for name in mix.sources]
    return [
        _rows(mix, mix.path / "validation" / f"{name}.bin", counts[i], i)
        for i, name in enumerate(mix.sources)
        if counts[i]
    ]


def _rows(mix: Mix, path: AnyPath, windows: int, source: int | None) -> WindowFile:
    found, expected = path.stat().st_size if path.exists() else 0, windows * mix.window * 2
    if found != expected:
        raise VerificationError(f"{path}: {found:,} bytes, expected {expected:,}; run gpts-data verify {mix.path}")
    return WindowFile(path, windows, mix.window, source)


def count(splits: Sequence[WindowFile]) -> int:
    """Windows of several files."""
    return sum(rows.windows for rows in splits)


def document_start_mask(windows: NDArray[np.uint16], eos_id: int) -> NDArray[np.bool_]:
    """Where a run of one document's ids begins: behind an end-of-text, and at the start of every window.

    What stands at the start of a window may be the middle of a document: the ids before it are in another window.
    Shape (n, window) in and out.
    """
    first = np.empty(windows.shape, np.bool_)
    first[:, 0] = True
    np.equal(windows[:, :-1], eos_id, out=first[:, 1:])
    return first

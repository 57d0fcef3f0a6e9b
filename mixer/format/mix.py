"""A finished mix folder, opened for reading.

mix = open_mix("out")
mix.shard(0)[k]          # window k of the training order: 512 uint16 ids
mix.validation("wiki")   # held-out windows of one source
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import map_windows, read_windows
from gpts_data.mixer.format.manifest import read_manifest
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.pipelines.storage.paths import as_path


@dataclass(frozen=True)
class Mix:
    """A finished mix, opened for reading."""

    path: Path
    """Its folder."""
    manifest: dict[str, Any]
    """manifest.json, parsed."""

    @property
    def window(self) -> int:
        """Tokens of a window."""
        return int(self.manifest["recipe"]["window"])

    @property
    def windows(self) -> int:
        """Of the training order, in all shards."""
        return int(self.manifest["windows"])

    @property
    def tokens(self) -> int:
        """Of all windows."""
        return self.windows * self.window

    @property
    def vocab_size(self) -> int:
        """Entries of the tokenizer; every id is below it."""
        return int(self.manifest["tokenizer"]["vocab_size"])

    @property
    def eos_id(self) -> int:
        """The id behind each document."""
        return int(self.manifest["tokenizer"]["eos_id"])

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Source names in recipe order: the `source` number of a sidecar row is an index into this."""
        return tuple(source["name"] for source in self.manifest["recipe"]["source"])

    def epoch_order(self, source: int) -> EpochOrder:
        """Which window of a source is in which of its slots."""
        name = self.sources[source]
        facts = self.manifest["sources"][name]
        return EpochOrder(facts["windows"], facts["pass_windows"], self.manifest["recipe"]["seed"], name)

    @property
    def tokenizer(self) -> Path:
        """Its folder, for `transformers.AutoTokenizer`."""
        return self.path / "tokenizer"

    @cached_property
    def shards(self) -> tuple[Path, ...]:
        """Their files, in training order."""
        return tuple(self.path / shard["file"] for shard in self.manifest["shards"])

    @cached_property
    def shard_starts(self) -> NDArray[np.int64]:
        """The position of each shard's first window in the training order, then `windows`: int64, (shards + 1,)."""
        return np.cumsum([0, *(shard["windows"] for shard in self.manifest["shards"])], dtype=np.int64)

    def locate(self, position: int) -> tuple[int, int]:
        """The shard that holds window `position` of the training order, and the window's row in it."""
        shard = int(np.searchsorted(self.shard_starts, position, side="right")) - 1
        return shard, position - int(self.shard_starts[shard])

    def shard(self, number: int) -> NDArray[np.uint16]:
        """Windows of one shard, memory-mapped, or from a store, whole: uint16, shape (windows, window)."""
        return map_windows(self.shards[number], self.window)

    def row(self, shard: int, row: int) -> NDArray[np.uint16]:
        """One window of a shard, and no other is read: uint16, shape (window,)."""
        window: NDArray[np.uint16] = read_windows(self.shards[shard], self.window, row, row + 1)[0]
        return window

    def validation(self, source: str) -> NDArray[np.uint16]:
        """Held-out windows of one source: uint16, shape (windows, window); may have no rows."""
        return map_windows(self.path / "validation" / f"{source}.bin", self.window)


def open_mix(path: str | Path) -> Mix:
    """Open a finished mix, in a folder or at an address like s3://bucket/mix.

    Raises `UsageError` when there is none, `VerificationError` when its manifest is damaged.
    """
    return Mix(as_path(path), read_manifest(as_path(path)))

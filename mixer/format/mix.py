"""A finished mix folder, opened for reading.

mix = open_mix("out")
mix.shard(0)[k]          # window k of the training order: 512 token ids, uint16
mix.validation("wiki")   # held-out windows of one source
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import map_windows, read_windows
from gpts_data.mixer.format.manifest import Manifest, read_manifest
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.pipelines.storage.paths import AnyPath, as_path


@dataclass(frozen=True, repr=False)
class Mix:
    """A finished mix, opened for reading."""

    path: AnyPath
    """Folder of the mix."""
    manifest: Manifest
    """The content of manifest.json."""

    def __repr__(self) -> str:
        return f"Mix({str(self.path)!r}, {self.windows:,} windows of {self.window}, {len(self.sources)} sources)"

    @property
    def window(self) -> int:
        """Tokens in a window."""
        return int(self.manifest["recipe"]["window"])

    @property
    def windows(self) -> int:
        """Windows of the training order, over all shards."""
        return int(self.manifest["windows"])

    @property
    def tokens(self) -> int:
        """Tokens of the training order: `windows * window`."""
        return self.windows * self.window

    @property
    def vocab_size(self) -> int:
        """Number of vocabulary entries of the tokenizer. Every token id is below it."""
        return int(self.manifest["tokenizer"]["vocab_size"])

    @property
    def eos_id(self) -> int:
        """Id of the end-of-text token that follows each document."""
        return int(self.manifest["tokenizer"]["eos_id"])

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources in recipe order. The `source` of a sidecar row is an index into it."""
        return tuple(source["name"] for source in self.manifest["recipe"]["source"])

    def epoch_order(self, source: int) -> EpochOrder:
        """The order in which the training order takes the windows of a source, given its index in `sources`."""
        name = self.sources[source]
        counts = self.manifest["sources"][name]
        return EpochOrder(counts["windows"], counts["pass_windows"], self.manifest["recipe"]["seed"], name)

    @property
    def tokenizer(self) -> AnyPath:
        """Folder of the tokenizer, for `transformers.AutoTokenizer.from_pretrained`."""
        return self.path / "tokenizer"

    @cached_property
    def shards(self) -> tuple[AnyPath, ...]:
        """The shard files, in training order."""
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
        """The windows of one shard: uint16, shape (windows, window). Memory-mapped; read whole from a store."""
        return map_windows(self.shards[number], self.window)

    def row(self, shard: int, row: int) -> NDArray[np.uint16]:
        """One window of a shard; nothing else of the shard is read: uint16, shape (window,)."""
        window: NDArray[np.uint16] = read_windows(self.shards[shard], self.window, row, row + 1)[0]
        return window

    def validation(self, source: str) -> NDArray[np.uint16]:
        """The held-out windows of one source: uint16, shape (windows, window); there may be none."""
        return map_windows(self.path / "validation" / f"{source}.bin", self.window)


def open_mix(path: str | AnyPath) -> Mix:
    """Open a finished mix in a folder, or at an address like s3://bucket/mix.

    Raises `UsageError` when there is none, `VerificationError` when its manifest is damaged.
    """
    return Mix(as_path(path), read_manifest(as_path(path)))

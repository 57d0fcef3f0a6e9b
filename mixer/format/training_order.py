"""Reading the training order by position, across shards and epochs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import SIDECAR
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import UsageError, VerificationError
from gpts_data.pipelines.storage.paths import is_store
from gpts_data.tokenizer.artifact import TokenIds


class TrainingOrder:
    """Reads windows of a mix by position. A shard is memory-mapped when it is first read (373 shards for 25B tokens).

    Raises `UsageError` for a mix without windows. `read` raises `VerificationError` for a shard of the wrong size, and
    with `verify` for one whose sha256 is not the manifest's; it then reads a shard whole when it opens it.
    """

    def __init__(self, mix: Mix, *, verify: bool = False) -> None:
        if not mix.windows:
            raise UsageError(f"{mix.path}: the mix has no windows; build one with more tokens")
        self.mix, self.verify = mix, verify
        self._shards: dict[int, TokenIds] = {}

    def read(self, start: int, count: int, step: int = 1, dtype: Any = np.int64) -> NDArray[Any]:
        """Windows start, start + step, ...: of type `dtype`, shape (count, window), a copy.

        After the last window the first follows again: position p is window p modulo the number of windows.
        """
        pieces: list[NDArray[Any]] = []
        while count > 0:
            number, row = self.mix.locate(start % self.mix.windows)
            shard = self._shard(number)
            pieces.append(shard[row : row + count * step : step].astype(dtype))
            start, count = start + len(pieces[-1]) * step, count - len(pieces[-1])
        if len(pieces) == 1:  # the usual case; only a batch across the end of a shard is copied twice
            return pieces[0]
        return np.concatenate([np.empty((0, self.mix.window), dtype), *pieces])

    def _shard(self, number: int) -> TokenIds:
        """The windows of a shard, opened when it is first needed."""
        if number not in self._shards:
            if is_store(self.mix.path):
                self._shards.clear()  # a shard from a store is in memory as a whole: 134 MB
            # slicing a memmap takes 3 times as long as slicing an array
            shard = np.asarray(self.mix.shard(number))
            if self.verify:
                self._check_digest(number, shard)
            self._shards[number] = shard
        return self._shards[number]

    def _check_digest(self, number: int, shard: TokenIds) -> None:
        entry, digest = self.mix.manifest["shards"][number], hashlib.sha256(shard.data).hexdigest()
        if digest != entry["sha256"]:
            raise VerificationError(
                f"{self.mix.path / entry['file']}: the sha256 is {digest[:16]}, expected {entry['sha256'][:16]}; the "
                f"file was changed: run gpts-data verify {self.mix.path}, and get the file again"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_shards": {}}  # pickling a memory map would copy its whole file


def token_number(mix: Mix, shard: int, row: int) -> int:
    """The number in the training order of the first token of a shard's row.

    Raises `UsageError` when the mix has no such shard or row.
    """
    shards = mix.manifest["shards"]
    if not 0 <= shard < len(shards):
        raise UsageError(f"shard {shard}: the mix has shards 0 to {len(shards) - 1}")
    if not 0 <= row < shards[shard]["windows"]:
        raise UsageError(f"row {row:,}: shard {shard} has rows 0 to {shards[shard]['windows'] - 1:,}")
    return (int(mix.shard_starts[shard]) + row) * mix.window


def sidecar(mix: Mix, shard: int) -> NDArray[Any]:
    """The sidecar of a shard: dtype `SIDECAR`, shape (windows,); memory-mapped.

    Raises `VerificationError` when it is damaged, or names a source that the mix does not have.
    """
    entry = mix.manifest["shards"][shard]
    rows = mix.array(f"{entry['file'].removesuffix('.bin')}.windows.npy", SIDECAR, entry["windows"])
    if (highest := int(rows["source"].max(initial=0))) >= len(mix.sources):
        raise VerificationError(
            f"{mix.shards[shard]}: its sidecar has source {highest}, expected 0 to {len(mix.sources) - 1}; "
            f"run gpts-data verify {mix.path}"
        )
    return rows


def window_of_source(mix: Mix, shard: int, row: int) -> tuple[int, int]:
    """The source of a shard's row, as index in `mix.sources`, and the number of the window in its stream.

    Raises `VerificationError` when the sidecar names a source or window that the mix does not have.
    """
    source, window = sidecar(mix, shard)[row].tolist()
    if window >= mix.epoch_order(source).windows:
        raise VerificationError(
            f"{mix.shards[shard]}: row {row:,} is window {window:,} of {mix.sources[source]} in its sidecar, which has "
            f"{mix.epoch_order(source).windows:,}; run gpts-data verify {mix.path}"
        )
    return source, window


def positions_of(mix: Mix, source: int, slots: NDArray[np.integer]) -> NDArray[np.int64]:
    """The positions in the training order of a source's slots: int64, shape (len(slots),).

    Slot k of a source is its k-th window in the training order. The sidecar of each shard concerned is read once.
    """
    name = mix.sources[source]
    first_slots = np.cumsum([0, *(shard["sources"][name] for shard in mix.manifest["shards"])])
    shard_of_slot = np.searchsorted(first_slots, slots, side="right") - 1
    positions = np.empty(len(slots), np.int64)
    for shard in np.unique(shard_of_slot).tolist():
        here = shard_of_slot == shard
        rows = np.flatnonzero(sidecar(mix, shard)["source"] == source)
        if len(rows) != first_slots[shard + 1] - first_slots[shard]:
            raise VerificationError(
                f"{mix.shards[shard]}: {len(rows):,} windows of {name} in its sidecar, expected "
                f"{first_slots[shard + 1] - first_slots[shard]:,}; run gpts-data verify {mix.path}"
            )
        positions[here] = mix.shard_starts[shard] + rows[slots[here] - first_slots[shard]]
    return positions

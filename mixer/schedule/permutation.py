"""A keyed, invertible shuffle of 0..n-1 in O(1) memory: a Feistel network with cycle walking.

The network permutes 0..4**b - 1 for the smallest 4**b >= n. A value that lands at n or above goes through it again
until it lands below, after at most four rounds on average (Black and Rogaway, "Ciphers with Arbitrary Finite Domains",
2002). It is not cryptographic: the rounds mix with splitmix64's finalizer. The key is made of the seed and a name, so
that the shuffle of a source does not depend on the other sources.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

ROUNDS = 6
MAX_EPOCHS = 1000  # of a source: each has a shuffle of its own, which takes 0.3 ms to set up


@dataclass(frozen=True)
class Permutation:
    """A shuffle of 0..size-1, fixed by a seed and a name."""

    size: int
    seed: int
    name: str

    def forward(self, numbers: NDArray[np.integer]) -> NDArray[np.int64]:
        """The place that each number goes to: int64, shape of `numbers`, values in 0..size-1."""
        return self._walk(numbers, inverse=False)

    def inverse(self, numbers: NDArray[np.integer]) -> NDArray[np.int64]:
        """The number that goes to each place, so that `inverse(forward(x)) == x`."""
        return self._walk(numbers, inverse=True)

    @property
    def _half_bits(self) -> int:
        return max((max(self.size - 1, 1).bit_length() + 1) // 2, 1)

    @property
    def _keys(self) -> list[np.uint64]:
        return [np.uint64(xxh3_64_intdigest(f"{self.seed}/{self.name}/{i}".encode())) for i in range(ROUNDS)]

    def _walk(self, numbers: NDArray[np.integer], inverse: bool) -> NDArray[np.int64]:
        values = np.array(numbers, dtype=np.uint64)
        outside = np.ones(values.shape, dtype=bool)
        while outside.any():
            values[outside] = self._feistel(values[outside], inverse)
            outside = values >= np.uint64(self.size)
        return values.astype(np.int64)

    def _feistel(self, values: NDArray[np.uint64], inverse: bool) -> NDArray[np.uint64]:
        bits = np.uint64(self._half_bits)
        mask = np.uint64((1 << self._half_bits) - 1)
        left, right = values >> bits, values & mask
        if inverse:
            for key in reversed(self._keys):
                left, right = right ^ (_mix(left ^ key) & mask), left
        else:
            for key in self._keys:
                left, right = right, left ^ (_mix(right ^ key) & mask)
        return (left << bits) | right


@dataclass(frozen=True)
class EpochOrder:
    """The order in which the windows of one source are trained on.

    Slot k of a source is its k-th window in the training order. A source with at least as many windows as slots has
    each of them once. With fewer it repeats them, epoch by epoch, each with a shuffle of its own; the last epoch takes
    only as many windows as there are slots left.
    """

    slots: int
    """Windows that the mix takes of the source, repetitions included."""
    windows: int
    """Windows of the source, each counted once."""
    seed: int
    """Seed of the recipe."""
    name: str
    """Name of the source."""

    @property
    def epochs(self) -> float:
        """How often the source is repeated, the last epoch counted as the fraction that is used of it."""
        return self.slots / self.windows

    def slots_of(self, windows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Every slot that holds one of `windows`, epoch by epoch: (slots, the window in each), int64, shape (n,)."""
        epochs = range(-(-self.slots // self.windows))
        slots = [epoch * self.windows + self._shuffle(epoch).forward(windows) for epoch in epochs]
        used = [epoch_slots < self.slots for epoch_slots in slots]
        return (
            np.concatenate([epoch_slots[mask] for epoch_slots, mask in zip(slots, used, strict=True)]),
            np.concatenate([np.asarray(windows, np.int64)[mask] for mask in used]),
        )

    def first_epoch_slots(self, windows: NDArray[np.integer]) -> NDArray[np.int64]:
        """The slot of each window in the first epoch, which has all of them: int64, shape of `windows`."""
        return self._shuffle(0).forward(windows)

    def windows_at(self, slots: NDArray[np.integer]) -> NDArray[np.int64]:
        """The window in each slot: int64, shape (n,)."""
        windows = np.empty(len(slots), np.int64)
        epochs, places = np.divmod(slots, self.windows)
        for epoch in np.unique(epochs).tolist():
            windows[epochs == epoch] = self._shuffle(epoch).inverse(places[epochs == epoch])
        return windows

    def _shuffle(self, epoch: int) -> Permutation:
        return Permutation(self.windows, self.seed, f"{self.name}/{epoch}" if epoch else self.name)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finalizer (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

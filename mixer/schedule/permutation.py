"""A keyed, invertible shuffle of 0..n-1 in O(1) memory: a Feistel network with cycle walking.

The domain is the smallest 4**b >= n; a value that lands at n or beyond is sent through again until it lands inside, at
most four times on average (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002). Not cryptography: the
rounds mix with splitmix64's finalizer, keyed by the seed and a name, so each source shuffles by itself whatever the
others are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

ROUNDS = 6


@dataclass(frozen=True)
class Permutation:
    """The shuffle of `size` numbers under a seed and a name."""

    size: int
    seed: int
    name: str

    def forward(self, numbers: NDArray[np.integer]) -> NDArray[np.int64]:
        """Where each number goes; int64, any shape, every value in 0..size-1."""
        return self._walk(numbers, inverse=False)

    def inverse(self, numbers: NDArray[np.integer]) -> NDArray[np.int64]:
        """The number that goes to each place: `inverse(forward(x)) == x`."""
        return self._walk(numbers, inverse=True)

    @property
    def _half_bits(self) -> int:
        return max((max(self.size - 1, 1).bit_length() + 1) // 2, 1)

    @property
    def _keys(self) -> list[np.uint64]:
        return [np.uint64(xxh3_64_intdigest(f"{self.seed}/{self.name}/{i}")) for i in range(ROUNDS)]

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
    """Which window of a source is in which of its `slots`: each of its `windows` once, or, where these are fewer than
    the slots, pass after pass, each a shuffle of its own. The last pass takes as many as there are slots left."""

    slots: int
    windows: int
    seed: int
    name: str

    @property
    def epochs(self) -> float:
        return self.slots / self.windows

    def slots_of(self, windows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(slots, windows) of every time that one of `windows` is in the mix; int64, pass after pass."""
        slots = [n * self.windows + self._order(n).forward(windows) for n in range(-(-self.slots // self.windows))]
        chosen = [which < self.slots for which in slots]
        return (
            np.concatenate([which[mask] for which, mask in zip(slots, chosen, strict=True)]),
            np.concatenate([np.asarray(windows, np.int64)[mask] for mask in chosen]),
        )

    def first_epoch_slots(self, windows: NDArray[np.integer]) -> NDArray[np.int64]:
        """The slot of each window in the first pass, which has them all."""
        return self._order(0).forward(windows)

    def windows_at(self, slots: NDArray[np.integer]) -> NDArray[np.int64]:
        """The window in each slot: int64, shape (n,)."""
        found = np.empty(len(slots), np.int64)
        passes, places = np.divmod(slots, self.windows)
        for n in np.unique(passes).tolist():
            found[passes == n] = self._order(n).inverse(places[passes == n])
        return found

    def _order(self, number: int) -> Permutation:
        return Permutation(self.windows, self.seed, f"{self.name}/{number}" if number else self.name)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finalizer (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

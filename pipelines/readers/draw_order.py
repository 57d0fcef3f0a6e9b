"""The order in which the units of a source are read: spread over all of its files, or file by file.

A source is usually larger than its budget. If it were read file by file, the mix would hold its first files only, such
as the oldest crawl. In the spread order, every prefix is a sample of the whole source:

    files    the files are laid end to end, each as long as its size; visit n goes to the file at the point
             frac(key + n * g) of the whole length
    units    the units of a file are read in ascending order of frac(key + u * g), where u is the number of the unit

g is the fractional part of the golden ratio. Its multiples are spread more evenly than random numbers: n of them in a
row leave no gap longer than 2.2 / n (Knuth, The Art of Computer Programming 3, section 6.4, theorem S). The order does
not depend on the budget: a larger budget takes a longer prefix. A file is opened at its first visit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import TypeVar

import numpy as np

from gpts_data.pipelines.readers.source import SourceFile, Unit

Item = TypeVar("Item")
ORDERS = ("spread", "file")
BITS = 64
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 times the fractional part of the golden ratio


@dataclass(frozen=True)
class Draw:
    """The `[draw]` table: which part of a source is used when the source is larger than its budget."""

    order: str = "spread"
    """`spread` reads units from all over a source's files; `file` reads the files one after the other, by name."""
    seed: int = 0
    """Seed of the spread order; another seed gives another sample."""


def draw_units(
    files: Sequence[SourceFile], split: Callable[[SourceFile], Sequence[Unit]], draw: Draw, name: str
) -> Iterator[Unit]:
    """Yield every unit of a source once, in draw order.

    `split` returns the units of a file and is called at the file's first visit. `name` is the source's name, so that
    two sources with the same files are drawn independently.
    """
    if draw.order == "file":
        for file in files:
            yield from split(file)
        return
    key, n_visits = _key(draw, name), 0
    sizes = {number: max(file.size, 1) for number, file in enumerate(files)}  # files with units that were not yielded
    units: dict[int, list[Unit]] = {}
    while sizes:
        numbers, ends, left = list(sizes), list(accumulate(sizes.values())), sum(sizes.values())
        while 2 * left > ends[-1]:  # lay the files anew only when half of the visits would go to exhausted ones
            point = (key + n_visits * GOLDEN) % (1 << BITS)
            n_visits += 1
            number = numbers[bisect_right(ends, point * ends[-1] >> BITS)]
            if number not in sizes:
                continue
            if number not in units:
                file = files[number]
                units[number] = spread(split(file), _key(draw, f"{name}/{file.name}"))[::-1]
            if units[number]:
                yield units[number].pop()
            if not units[number]:
                left -= sizes.pop(number)


def spread(items: Sequence[Item], key: int) -> list[Item]:
    """The items in an order of which every prefix is evenly spread over them."""
    points = np.arange(len(items), dtype=np.uint64) * np.uint64(GOLDEN) + np.uint64(key)
    return [items[i] for i in np.argsort(points, kind="stable").tolist()]


def _key(draw: Draw, name: str) -> int:
    """A number below 2^64 that depends on the seed and a name."""
    return int.from_bytes(blake2b(f"{draw.seed}/{name}".encode(), digest_size=BITS // 8).digest(), "little")

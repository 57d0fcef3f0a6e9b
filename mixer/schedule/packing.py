"""Best-fit packing: documents as whole as possible in windows of one length.

After Ding et al., "Fewer Truncations Improve Language Modeling" (2024, arXiv 2404.10830): a document longer than a
window is cut into whole windows and a rest; the rests and the shorter documents, the longest first, go each into the
window with the least room that still holds it. So no document is cut more often than its length demands.

One thing differs: a document stays in one piece in the stream. Its whole windows follow the window that has its rest,
or lie before it. So a window has at most two rests: one at its beginning, of a document that ends there, and one at its
end, of a document that continues in the next window. Between them, or at the end, the window is padded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Packing(NamedTuple):
    """The places of documents in a stream of windows."""

    starts: NDArray[np.int64]
    """The first token of each document in the stream: int64, shape (documents,)."""
    windows: int
    """Windows of the stream."""


class _Bin:
    """A window that is being filled."""

    __slots__ = ("left", "right", "whole")

    def __init__(self) -> None:
        self.left = self.right = -1  # the long document that ends at the window's beginning; that begins at its end
        self.whole: list[int] = []  # the documents between them


def best_fit(lengths: NDArray[np.integer], window: int) -> Packing:
    """Pack documents into windows. lengths: tokens of each document, 1 at least, end-of-text included.

    Time and memory grow with the number of documents. Equal arguments give equal results on any machine.
    """
    sizes = np.where(lengths > window, lengths % window, lengths)
    bins = _fill(sizes, lengths > window, window)
    whole = (np.flatnonzero(sizes == 0)).tolist()  # they fill their windows and need no other
    return _lay_out([*bins, *map(_alone, whole)], np.asarray(lengths, np.int64), window)


def _alone(document: int) -> _Bin:
    item = _Bin()
    item.left = document
    return item


def _fill(sizes: NDArray[np.integer], is_rest: NDArray[np.bool_], window: int) -> list[_Bin]:
    """Put each document or rest of a size above 0 into a bin."""
    bins: list[_Bin] = []
    by_room: list[dict[int, list[_Bin]]] = [{}, {}]  # bins that take another rest, and others, by their room
    rooms = [0, 0]  # bit r is set when a bin has the room r
    for document in np.argsort(-sizes.astype(np.int64), kind="stable").tolist():
        size, rest = int(sizes[document]), bool(is_rest[document])
        if size == 0:
            break
        fits = [rooms[kind] >> size for kind in ((0,) if rest else (0, 1))]
        found = [(size + (mask & -mask).bit_length() - 1, kind) for kind, mask in enumerate(fits) if mask]
        if found:
            room, kind = min(found)
            item = by_room[kind][room].pop()
            if not by_room[kind][room]:
                rooms[kind] ^= 1 << room
        else:
            room, item = window, _Bin()
            bins.append(item)
        if not rest:
            item.whole.append(document)
        elif item.left < 0:
            item.left = document
        else:
            item.right = document
        room -= size
        if room:
            kind = int(item.right >= 0)
            by_room[kind].setdefault(room, []).append(item)
            rooms[kind] |= 1 << room
    return bins


def _lay_out(bins: list[_Bin], lengths: NDArray[np.int64], window: int) -> Packing:
    """The stream of the bins, each with the whole windows of its long documents around it, by their first documents."""
    starts = np.zeros(len(lengths), np.int64)
    bins.sort(key=lambda item: min(number for number in (item.left, item.right, *item.whole) if number >= 0))
    windows = 0
    for item in bins:
        token = windows * window
        for document in (item.left, *item.whole):
            if document >= 0:
                starts[document] = token
                token += int(lengths[document])
        windows = -(-token // window)
        if item.right >= 0:
            starts[item.right] = windows * window - int(lengths[item.right]) % window
            windows += int(lengths[item.right]) // window
    return Packing(starts, windows)

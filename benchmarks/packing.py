"""Packing documents into windows: padding, cuts and documents per window.

    python -m benchmarks.packing MIX [--window 512 --window 1024 --window 4096]

Takes the lengths of all training documents of a mix and packs them as one stream, as `[packing] mode = "best-fit"` does
(each unit by itself), and by the published algorithm (Ding et al. 2024, arXiv 2404.10830: each document longer than a
window cut into windows and a rest, then all pieces best-fit-decreasing), over each source and over all of them at once.
A window of a mix is always of one source.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.format.layout import document_tables
from gpts_data.mixer.format.mix import open_mix
from gpts_data.mixer.schedule.packing import best_fit


def published_bins(lengths: NDArray[np.integer], window: int) -> int:
    """Windows that the published algorithm needs."""
    pieces = np.concatenate([np.full(int((lengths // window).sum()), window), lengths % window])
    by_room = np.zeros(window + 1, np.int64)  # open windows by the room in them
    rooms = bins = 0  # bit r of `rooms` is set when a window has the room r
    for piece in np.sort(pieces)[::-1].tolist():
        if not piece:
            break
        fits = rooms >> piece
        if fits:
            room = piece + (fits & -fits).bit_length() - 1
            by_room[room] -= 1
            rooms ^= (not by_room[room]) << room
        else:
            room, bins = window, bins + 1
        if room > piece:
            by_room[room - piece] += 1
            rooms |= 1 << (room - piece)
    return bins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mix", type=Path)
    parser.add_argument("--window", type=int, action="append")
    arguments = parser.parse_args()
    mix = open_mix(arguments.mix)
    sources = [
        [
            mix.table(entry, ["tokens"]).column("tokens").to_numpy().astype(np.int64)
            for entry in document_tables(mix.manifest["files"], name)
        ]
        for name in mix.sources
    ]
    units = [unit for source in sources for unit in source]
    lengths = np.concatenate(units)
    print(f"{len(lengths):,} documents with {lengths.sum():,} tokens in {len(units)} units")
    print("window  packing                 windows    padding  documents cut     cuts    seconds")
    for window in arguments.window or (512, 1024, 4096):
        stops = np.cumsum(lengths)
        cuts = (stops - 1) // window - (stops - lengths) // window
        _row(window, "stream", -(-int(stops[-1]) // window), lengths, cuts, 0.0)
        began = time.perf_counter()
        packed = sum(best_fit(unit, window).windows for unit in units)
        _row(window, "best-fit, by unit", packed, lengths, (lengths - 1) // window, time.perf_counter() - began)
        bins = sum(published_bins(np.concatenate(source), window) for source in sources)
        _row(window, "published, by source", bins, lengths, (lengths - 1) // window, 0.0)
        began = time.perf_counter()
        bins = published_bins(lengths, window)
        _row(window, "published, all at once", bins, lengths, (lengths - 1) // window, time.perf_counter() - began)
        inside = lengths[lengths <= window].sum() / lengths.sum()
        print(f"{window:>6}  {inside:.1%} of the tokens are in documents that fit into a window")


def _row(window: int, name: str, windows: int, lengths: NDArray[np.int64], cuts: NDArray[np.int64], s: float) -> None:
    padding = 1 - int(lengths.sum()) / (windows * window) if name != "stream" else 0.0
    cut = (cuts > 0).mean()
    print(f"{window:>6}  {name:<23} {windows:>7,}  {padding:>9.4%}  {cut:>12.1%}  {cuts.sum():>8,}  {s:>8.2f}")


if __name__ == "__main__":
    main()

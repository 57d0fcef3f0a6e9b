"""Check the training order of a changing mixture over all windows of a budget, and time it.

    python benchmarks/stages.py [--tokens 25B]

The weights are 55/30/15 up to 70% of the tokens, then 20/30/50. For every prefix, the count of each source is compared
with its cumulative share, in whole numbers.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from gpts_data.mixer.quantities import parse_quantity
from gpts_data.mixer.schedule.budget import total_windows
from gpts_data.mixer.schedule.source_order import find_source_order
from gpts_data.mixer.schedule.training_stages import training_stages

WEIGHTS = ((11, 6, 3), (4, 6, 10))  # both add up to 20
STEP = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=parse_quantity, default="25B")
    windows = total_windows(parser.parse_args().tokens, 512)
    stages = training_stages([(14 * windows + 10) // 20, windows], WEIGHTS)
    for stage in stages:
        print(f"windows {stage.start:,} to {stage.stop - 1:,}: {stage.windows} of the sources")
    start = time.perf_counter()
    order = find_source_order(stages)
    print(f"order found in {time.perf_counter() - start:.1f} s")
    counts, exact, farthest = np.zeros(3, np.int64), np.zeros(3, np.int64), 0
    for stage in stages:
        for first in range(stage.start, stage.stop, STEP):
            last = min(first + STEP, stage.stop)
            sources = order.sources(first, last, counts.tolist())
            prefixes = counts + (sources[:, None] == np.arange(3)).cumsum(axis=0)
            asked = exact + np.arange(1, last - first + 1)[:, None] * np.array(stage.weights)
            farthest = max(farthest, int(np.abs(20 * prefixes - asked).max()))
            counts, exact = prefixes[-1], asked[-1]
    print(f"{windows:,} prefixes: every source within {farthest / 20} windows of its cumulative share")
    print(f"{tuple(counts.tolist())} windows of the sources at the end")


if __name__ == "__main__":
    main()

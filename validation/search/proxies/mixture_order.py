"""The training order of a virtual mixture: which window of the pool is trained on at each position.

It is the order that a mix with these weights would have: its source order is exact at every prefix
(mixer/schedule/source_order.py), and each source's windows are shuffled epoch by epoch (permutation.py). No shard is
written.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.schedule.budget import share
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.mixer.schedule.source_order import find_source_order
from gpts_data.mixer.schedule.training_stages import TrainingStage
from gpts_data.validation.search.caps import UNITS


def mixture_order(
    weights: Sequence[float],
    windows: int,
    *,
    names: Sequence[str],
    available: Sequence[int],
    starts: Sequence[int],
    seed: int,
) -> NDArray[np.int64]:
    """The row of the pool at each position: int64, shape (windows,).

    weights: of the sources, taken as multiples of 1/UNITS; 0 for a source that is absent. available: windows of each
    source that may be used; a source that needs more of them repeats them. starts: row of each source's first window.
    """
    whole = tuple(round(weight * UNITS) for weight in weights)
    counts = share(windows, whole)
    order = find_source_order([TrainingStage(0, windows, whole, counts)]).sources(0, windows, [0] * len(whole))
    rows = np.empty(windows, np.int64)
    for i, (name, count) in enumerate(zip(names, counts, strict=True)):
        if count:
            epochs = EpochOrder(count, min(count, available[i]), seed, name)
            rows[order == i] = starts[i] + epochs.windows_at(np.arange(count))
    return rows

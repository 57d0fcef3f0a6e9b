"""The distances from the targets that the report draws are those of every window."""

from __future__ import annotations

import numpy as np
import pytest

from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.training_order import sidecar
from gpts_data.mixer.recipe_stages import cumulative_shares
from gpts_data.validation.report import order_counts
from gpts_data.validation.report.charts import plot_bounds
from gpts_data.validation.report.order_counts import measure_bounds


@pytest.mark.parametrize("parts", [1, 7, 10**6])
def test_bounds_are_the_extremes_over_all_windows(mix: Mix, parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_counts, "BOUND_PARTS", parts)
    bounds = measure_bounds(mix)
    order = np.concatenate([sidecar(mix, number)["source"] for number in range(len(mix.shards))])
    counts = np.cumsum(order[:, None] == np.arange(len(mix.sources)), axis=0)
    ahead = counts - cumulative_shares(mix.stages, np.arange(1, mix.windows + 1))
    assert bounds.edges[0] == 0 and bounds.edges[-1] == mix.windows and len(mix.shards) > 1
    assert np.array_equal(bounds.low.min(axis=0), ahead.min(axis=0))
    assert np.array_equal(bounds.high.max(axis=0), ahead.max(axis=0))
    for part, (start, stop) in enumerate(zip(bounds.edges[:-1], bounds.edges[1:], strict=True)):
        assert np.array_equal(bounds.high[part], ahead[start:stop].max(axis=0))
    assert max(bounds.greatest) < 1


def test_a_source_has_one_lane_of_text_and_lines(mix: Mix) -> None:
    bounds = measure_bounds(mix)
    lanes = plot_bounds(bounds.edges, bounds.low, bounds.high)
    assert len(lanes) == len(mix.sources)
    assert all(label != "-0" and 0 <= place <= 1 for lane in lanes for place, label in lane.x_ticks)

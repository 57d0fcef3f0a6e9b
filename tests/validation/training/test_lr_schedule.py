"""The schedule has the published rates at their steps, and consists of a rise, a plateau and a decay."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from gpts_data.validation.training.lr_schedule import Shape, wsd  # noqa: E402

STEPS, PEAK, WARMUP = 95_367, 2.5e-3, 1_500  # 25B tokens in batches of 262,144


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, PEAK / 1_500),  # not 0: the first update counts
        (749, PEAK / 2),
        (1_499, PEAK),
        (1_500, PEAK),
        (66_756, PEAK),  # 70% is 66,756.9
        (STEPS, 0.0),
    ],
)
def test_published_recipe(step: int, expected: float) -> None:
    assert wsd(step, STEPS, PEAK, WARMUP) == pytest.approx(expected, rel=1e-12)


def test_shapes_a_quarter_into_the_decay() -> None:
    assert wsd(775, 1000, 1.0, 0, shape="1-sqrt") == pytest.approx(1 - 0.25**0.5)
    assert wsd(775, 1000, 1.0, 0, shape="linear") == pytest.approx(1 - 0.25)
    assert wsd(75, 100, 1.0, 0, decay_from=0.5, shape="linear") == pytest.approx(0.5)


@pytest.mark.parametrize("shape", ["1-sqrt", "linear"])
def test_rises_stays_falls(shape: Shape) -> None:
    rates = [wsd(step, 200, PEAK, 20, shape=shape) for step in range(200)]
    assert rates[:20] == sorted(rates[:20])
    assert set(rates[20:141]) == {PEAK}
    assert rates[140:] == sorted(rates[140:], reverse=True)
    assert rates[-1] > 0  # the last update still moves


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_short_runs_have_a_rate_at_every_step(steps: int) -> None:
    assert all(0 < wsd(step, steps, PEAK, steps // 10) <= PEAK for step in range(steps))

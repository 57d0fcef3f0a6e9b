"""Searches with planted laws: what proxy runs would have measured, without training any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.design import design_runs
from gpts_data.validation.search.law import Law
from gpts_data.validation.search.result import Measurements

NAMES = ("web", "books", "code", "papers", "forums", "garbage")


def planted_search(
    recipe: Sequence[float],
    laws: Sequence[Law],
    noise: float = 0.003,
    caps: Floats | None = None,
    horizons: int = 3,
    seed: int = 0,
    mixtures: int | None = None,
) -> Measurements:
    """Measurements of proxy runs of 32M, 64M and 128M tokens; the laws are those of the last horizon.

    With half of the tokens, losses are 0.1 higher and differ half as much.
    """
    weights = np.array(recipe)
    caps = np.ones(len(weights)) if caps is None else caps
    runs = design_runs(weights, caps, seed, mixtures)
    tried = np.array([run.weights for run in runs])
    last = np.column_stack([law.predict(tried) for law in laws])
    scales = 0.5 ** np.arange(horizons)[::-1]
    losses = np.array(
        [last.mean(axis=0) + scale * (last - last.mean(axis=0)) - 0.1 * np.log2(scale) for scale in scales]
    )
    losses += np.random.default_rng(seed).normal(0, noise, losses.shape)
    return Measurements(
        tokens=25 * 10**9,
        parameters=5_158_464,
        sources=NAMES[: len(weights)],
        supply=tuple(round(cap * 25e9) for cap in caps),
        recipe=weights,
        caps=caps,
        least=0.0001,
        targets=("arc", "notes.txt", "piqa")[: len(laws)],
        importance=(2.0, 1.0, 1.0)[: len(laws)],
        runs=tuple(runs),
        horizons=tuple(round(scale * 128e6) for scale in scales),
        losses=losses,
    )

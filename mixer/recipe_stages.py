"""The `[[stage]]` tables of a recipe: weights that change over training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import floor, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.schedule.budget import total_windows, whole_weights
from gpts_data.mixer.schedule.training_stages import TrainingStage, training_stages
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.suggestion import suggest

MAX_WEIGHTS = 1024  # of stages times sources: dividing the windows among so many takes 2 s


@dataclass(frozen=True)
class Stage:
    """A `[[stage]]` table: the weights of the sources in one part of the training order."""

    weights: Mapping[str, float]
    """Weight of each source in this stage: `{ web = 70, books = 30 }`. A source that is not named is absent from it."""
    until: float | None = None
    """Where the stage ends: a share of the tokens, such as 0.7, or a number of tokens, such as `5B`. The last stage has
    none."""


Stages = Sequence[Stage]


def stage_ends(windows: int, window: int, untils: Sequence[float | None]) -> tuple[int, ...]:
    """The position after the last window of each stage, in a training order of `windows` windows of `window` tokens.

    A share of the windows and a number of tokens are rounded half up to whole windows. None is the end.
    """
    return tuple(
        windows
        if until is None
        else floor(Fraction(str(until)) * windows + Fraction(1, 2))
        if until < 1
        else total_windows(int(until), window)
        for until in untils
    )


@lru_cache(maxsize=16)
def stages_of(
    windows: int, window: int, weights: tuple[tuple[float, ...], ...], untils: tuple[float | None, ...]
) -> tuple[TrainingStage, ...]:
    """The stages of a training order; weights[s][i] is the weight of source i in stage s, 0 where it is absent."""
    return training_stages(stage_ends(windows, window, untils), [_whole(stage_weights) for stage_weights in weights])


def recorded_stages(recipe: Mapping[str, Any], windows: int) -> tuple[TrainingStage, ...]:
    """The stages of a mix of `windows` windows, from the recipe in its manifest; one for a recipe without stages."""
    sources = recipe["source"]
    tables = recipe.get("stage") or [
        {"weights": {source["name"]: source["weight"] for source in sources}, "until": None}
    ]
    weights = tuple(tuple(table["weights"].get(source["name"], 0) for source in sources) for table in tables)
    return stages_of(windows, recipe["window"], weights, tuple(table["until"] for table in tables))


def cumulative_shares(stages: Sequence[TrainingStage], positions: NDArray[np.integer]) -> NDArray[np.float64]:
    """The windows of each source that the weights ask for before each position: shape (positions, sources)."""
    shares = np.zeros((len(positions), len(stages[0].weights)))
    for stage in stages:
        inside = np.clip(positions - stage.start, 0, stage.length)
        shares += inside[:, None] * (np.array(stage.weights, np.float64) / sum(stage.weights))
    return shares


def target_shares(stages: Sequence[TrainingStage]) -> tuple[float, ...]:
    """The share of each source in the windows of these stages that their weights ask for, 0 to 1."""
    asked = [[Fraction(stage.length * weight, sum(stage.weights)) for weight in stage.weights] for stage in stages]
    windows = sum(stage.length for stage in stages)
    return tuple(float(sum(parts) / windows) for parts in zip(*asked, strict=True))


def total_weights(tokens: int, names: Sequence[str], stages: Stages) -> tuple[float, ...]:
    """The share of each source in all tokens, 0 to 1."""
    ends = [Fraction(str(stage.until)) / (1 if (stage.until or 1) < 1 else tokens) for stage in stages if stage.until]
    lengths = [end - start for start, end in pairwise([Fraction(0), *ends, Fraction(1)])]
    shares = []
    for name in names:
        weights = [Fraction(str(stage.weights.get(name, 0))) for stage in stages]
        totals = [sum(map(Fraction, map(str, stage.weights.values()))) for stage in stages]
        parts = zip(lengths, weights, totals, strict=True)
        shares.append(float(sum(length * weight / total for length, weight, total in parts)))
    return tuple(shares)


def check_stages(names: Sequence[str], weights: Sequence[float | None], stages: Stages) -> None:
    """Raise `RecipeError` for stages whose keys do not fit the sources or one another.

    `weights` are those of the `[[source]]` tables, in the order of `names`.
    """
    for name, weight in zip(names, weights, strict=True):
        if stages and weight is not None:
            raise RecipeError(
                f"source {name!r}: weight = {weight}, but the recipe has [[stage]] tables; remove it, and name the "
                "source in the weights of each stage that has it"
            )
        if not stages and weight is None:
            raise RecipeError(
                f"source {name!r}: weight is missing; expected a number, or [[stage]] tables with weights"
            )
    if len(stages) * len(names) > MAX_WEIGHTS:
        raise RecipeError(
            f"recipe: {len(stages)} [[stage]] tables for {len(names)} sources, expected stages times sources to be at "
            f"most {MAX_WEIGHTS:,}"
        )
    for number, stage in enumerate(stages):
        _check_stage(f"stage[{number}]", stage, names, is_last=number == len(stages) - 1)
    for name in names if stages else ():
        if not any(name in stage.weights for stage in stages):
            raise RecipeError(f"source {name!r} is in the weights of no stage; name it in one, or remove the source")


def check_lengths(windows: int, window: int, stages: Stages) -> None:
    """Raise `RecipeError` when a stage has no window."""
    ends = stage_ends(windows, window, [stage.until for stage in stages])
    for number, (start, end) in enumerate(pairwise((0, *ends))):
        if end > windows:
            raise RecipeError(
                f"stage[{number}]: until = {stages[number].until:,} is window {end:,}, but the tokens make {windows:,} "
                "windows; give more --tokens, or until as a share of the tokens, such as 0.7"
            )
        if end <= start:
            raise RecipeError(
                f"stage[{number}] holds no window: it begins at window {start:,} and ends at window {end:,} of "
                f"{windows:,}; each until must be above that of the stage before and below the end, by a window of "
                f"{window} tokens at least"
            )


def check_windows(names: Sequence[str], stages: Sequence[TrainingStage]) -> None:
    """Raise `RecipeError` when a source gets no window in any stage."""
    for i, name in enumerate(names):
        if not any(stage.windows[i] for stage in stages):
            raise RecipeError(
                f"source {name!r}: its weights in the stages give it no window of the {stages[-1].stop:,}; ask for "
                "more tokens, or raise its weights"
            )


def _check_stage(where: str, stage: Stage, names: Sequence[str], is_last: bool) -> None:
    if is_last and stage.until is not None:
        raise RecipeError(f"{where}.until = {stage.until}, but the last stage ends with the tokens; remove it")
    if not is_last and stage.until is None:
        raise RecipeError(f"{where}.until is missing; expected a share of the tokens, such as 0.7, or tokens")
    if not stage.weights:
        raise RecipeError(f"{where}.weights is empty, expected the weight of at least one source")
    for name, weight in stage.weights.items():
        if name not in names:
            raise RecipeError(f"{where}.weights: no source is called {name!r}; {suggest(name, names)}")
        if not 0 < weight < inf:
            raise RecipeError(
                f"{where}.weights.{name} = {weight}, expected a number above 0; a source that is not named is absent"
            )


def _whole(weights: Sequence[float]) -> tuple[int, ...]:
    """The weights as whole numbers, 0 where a source is absent."""
    present = iter(whole_weights([weight for weight in weights if weight]))
    return tuple(next(present) if weight else 0 for weight in weights)

"""The options of a search, checked against the recipe before any work."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gpts_data.mixer.recipe import Recipe, resolved
from gpts_data.mixer.recipe_exclude import read_lists
from gpts_data.pipelines.errors import UsageError
from gpts_data.tokenizer.artifact import Artifact
from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.design import mixture_count
from gpts_data.validation.search.outputs.tables import check_column_names
from gpts_data.validation.search.proxies.model import proxy_config, run_length
from gpts_data.validation.search.proxies.targets import Target, parse_targets

FORMAT = 1
TOKENS_PER_RUN = 128_000_000
CONFIRM_LENGTH = 4  # times the tokens of a proxy run
MEASURED = 32, 16_384, 262_144  # tokens measured per target: the run's / 32, within these limits


@dataclass(frozen=True)
class SearchOptions:
    """The values that a search depends on besides the recipe, its units and the tokenizer."""

    targets: tuple[str, ...] = ()
    """The values of `--target` (proxies/targets.py); if there are none, the held-out text of each source."""
    mixtures: int | None = None
    """Mixtures besides the recipe's; None: 12, or five per source."""
    tokens_per_run: int | None = None
    """None: 128M, or the recipe's tokens if they are fewer."""
    seed: int = 0
    layers: int = 9
    width: int = 192
    max_epochs: int = 4
    """The number of times that a source may be repeated; a larger `max_epochs` in the recipe counts instead."""


@dataclass(frozen=True)
class Search:
    """A search whose options are known to be sound, in its folder."""

    recipe: Recipe
    options: SearchOptions
    targets: tuple[Target, ...]
    tokens_per_run: int
    out: Path
    tokenizer: Artifact

    def identity(self, recipe_folder: Path) -> dict[str, Any]:
        """Everything that determines the result, except the units."""
        recipe = self.recipe
        return {
            "format": FORMAT,
            "recipe": resolved(recipe),
            "exclude": [exclusion.digest() for exclusion in read_lists(recipe.exclude, recipe_folder)],
            "tokenizer": self.tokenizer.digest,
            **asdict(replace(self.options, targets=(), tokens_per_run=self.tokens_per_run)),
            "targets": [target.identity() for target in self.targets],
        }

    @property
    def weights(self) -> Floats:
        """The recipe's weights, with a sum of 1."""
        weights = np.array(self.recipe.weights, np.float64)
        return np.asarray(weights / weights.sum())

    @property
    def max_epochs(self) -> tuple[int, ...]:
        """The number of times that each source may be repeated."""
        return tuple(max(source.max_epochs, self.options.max_epochs) for source in self.recipe.source)

    @property
    def longest(self) -> int:
        """Tokens of the runs that confirm a proposal."""
        return min(CONFIRM_LENGTH * self.tokens_per_run, self.recipe.tokens)

    @property
    def measured(self) -> int:
        """Tokens that are measured of each target."""
        part, least, most = MEASURED
        return min(max(self.tokens_per_run // part, least), most)


def check_options(recipe: Recipe, options: SearchOptions) -> tuple[tuple[Target, ...], int]:
    """The targets and the tokens of a run. Raises `UsageError` before any work."""
    if recipe.stage:
        raise UsageError(
            "the recipe has [[stage]] tables, and search-mix searches one set of weights; give a recipe with a weight "
            "in each [[source]], such as one per stage"
        )
    mixture_count(len(recipe.source), options.mixtures)
    check_column_names(recipe.names)
    tokens = options.tokens_per_run or min(TOKENS_PER_RUN, recipe.tokens)
    if tokens > recipe.tokens:
        raise UsageError(f"--tokens-per-run {tokens:,}: the mix has {recipe.tokens:,} tokens; expected at most as many")
    run_length(tokens, recipe.window)
    proxy_config(options.layers, options.width, 1, recipe.window)
    return parse_targets(options.targets, recipe.names), tokens

"""The recipe: a TOML file, read into frozen dataclasses and checked before any work.

Most tables are defined beside the code that uses them: `[draw]` is pipelines.readers.draw_order.Draw, `[tokenizer]` is
tokenizer.train.Training, `[[source]]` extends pipelines.readers.source.Source, `[clean]` is
pipelines.filters.cleaner.CleanConfig, `[dedup]` is pipelines.dedup.signatures.Dedup, `[decontaminate]` is
pipelines.decontaminate.index.Decontaminate, `[exclude]` is mixer.recipe_exclude.Exclude.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from gpts_data.mixer.recipe_buckets import check_bounds
from gpts_data.mixer.recipe_exclude import Exclude, check_exclude
from gpts_data.mixer.recipe_file import read_recipe_file, shorten
from gpts_data.mixer.recipe_parser import parse
from gpts_data.mixer.recipe_stages import (
    Stage,
    check_lengths,
    check_stages,
    check_windows,
    stages_of,
    total_weights,
)
from gpts_data.mixer.schedule.budget import budget, total_windows
from gpts_data.mixer.schedule.source_order import MAX_WINDOWS
from gpts_data.mixer.schedule.training_stages import TrainingStage
from gpts_data.pipelines.decontaminate.index import Decontaminate, check_decontaminate
from gpts_data.pipelines.dedup.signatures import ALL, SOURCE, Dedup, check_minhash
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.filters.cleaner import CleanConfig, check_clean
from gpts_data.pipelines.readers.addresses import split_hub_addresses
from gpts_data.pipelines.readers.draw_order import ORDERS, Draw
from gpts_data.pipelines.readers.source import Source
from gpts_data.pipelines.text.control_characters import has_control_characters
from gpts_data.tokenizer.train import Training, check_training

MAX_KEEP_DROPPED = 10  # dropped documents per reason that every prepared unit has as examples
STREAM: Final = "stream"
BEST_FIT: Final = "best-fit"
MAX_NAME = 100  # characters of a name; it begins names of files, which may have 255 bytes
_RANGES = {  # of whole numbers in the recipe: the least and the greatest
    "window": (2, 1 << 20),  # four times the longest context in use
    "unit": (1, 10**12),
    "shard_windows": (1, MAX_WINDOWS),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class Validation:
    """The `[validation]` table: documents held out of training."""

    fraction: float = 0.0005
    """Fraction of the documents to hold out. They are chosen by a hash of their id. With 0, none are held out,
    whatever the `minimum`."""
    minimum: int = 1
    """Documents to hold out of each source at least, and so many more that they fill a window. A source that is too
    short for this holds out its fraction only."""


@dataclass(frozen=True)
class Packing:
    """The `[packing]` table: how documents become windows."""

    mode: Literal["stream", "best-fit"] = STREAM
    """`stream` cuts the documents of a source, one after another, every `window` tokens. `best-fit` keeps documents
    whole where they fit into a window, cuts longer ones as seldom as possible, and pads windows with end-of-text."""


@dataclass(frozen=True)
class RecipeSource(Source):
    """A `[[source]]` table: local `files` or a hub `dataset`. Of duplicates, the one in the earlier source is kept."""

    license: tuple[str, ...] = ()
    """License of the texts, or several, as the hub spells them (`odc-by`, `cc-by-4.0`); shown on the dataset card."""
    clean: CleanConfig | None = None
    """Filters of this source (`[source.clean]`); they replace those of `[clean]`."""
    max_epochs: int = 1
    """How often the source may be repeated when it has fewer tokens than its share."""


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a mix, except the source files and a given tokenizer."""

    name: str
    """Name of the mix; shown on its dataset card."""
    tokens: int
    """Number of training tokens, such as `25B`, rounded to whole windows. `--tokens` overrides it."""
    source: tuple[RecipeSource, ...]
    """The text sources, at least one `[[source]]`."""
    stage: tuple[Stage, ...] = ()
    """Weights that change over training, in order, instead of a weight in each source."""
    window: int = 512
    """Tokens in a window: the length of a training sequence."""
    seed: int = 20260
    """Seed of the shuffle of each source's windows."""
    unit: int = 64_000_000
    """Bytes of text in a unit: what is drawn at once, what one task reads, and at most repeats after a kill. Compressed
    files, .csv, .tsv, .txt and JSON arrays cannot be divided: each is one unit."""
    shard_windows: int = 131_072
    """Windows in a shard file. The default makes 134 MB with windows of 512 tokens."""
    keep_dropped: int = 0
    """Dropped documents to keep as examples in `dropped/`, per source and reason: at most 10."""
    draw: Draw = Draw()
    """Which part of a source is used when the source is larger than its budget."""
    tokenizer: Training = Training()
    """How the tokenizer is trained when none is given."""
    clean: CleanConfig = field(default_factory=CleanConfig)
    """Quality filters."""
    dedup: Dedup = Dedup()
    """Deduplication, within and across sources."""
    decontaminate: Decontaminate | None = None
    """Removal of documents that contain text of a benchmark."""
    exclude: Exclude | None = None
    """Lists of documents that must not be in the mix."""
    validation: Validation = Validation()
    """Documents held out for validation."""
    packing: Packing = Packing()
    """The way in which documents become windows."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources, in recipe order."""
        return tuple(source.name for source in self.source)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the sources over the whole training order, in recipe order."""
        if self.stage:
            return total_weights(self.tokens, self.names, self.stage)
        return tuple(source.weight or 0 for source in self.source)

    @property
    def weighted_sources(self) -> tuple[RecipeSource, ...]:
        """The sources, each with its weight over the whole training order."""
        return tuple(replace(s, weight=weight) for s, weight in zip(self.source, self.weights, strict=True))

    @property
    def windows(self) -> tuple[int, ...]:
        """Training windows per source, in recipe order."""
        if not self.stage:
            return budget(self.tokens, self.window, self.names, self.weights)
        return tuple(map(sum, zip(*(stage.windows for stage in self.stages), strict=True)))

    @property
    def stages(self) -> tuple[TrainingStage, ...]:
        """The stages of the training order; a recipe without `[[stage]]` tables has one."""
        stages = self.stage or (Stage(dict(zip(self.names, self.weights, strict=True))),)
        weights = tuple(tuple(stage.weights.get(name, 0) for name in self.names) for stage in stages)
        windows = total_windows(self.tokens, self.window)
        return stages_of(windows, self.window, weights, tuple(stage.until for stage in stages))

    def cleaning(self, source: RecipeSource) -> CleanConfig:
        """The filters of a source: its own `[source.clean]` if it has one, else `[clean]`."""
        return source.clean or self.clean


def load_recipe(path: Path, tokens: int | None = None) -> Recipe:
    """Read and check a recipe file; `tokens` overrides the number in the file. Raises `RecipeError`."""
    recipe: Recipe = _split_addresses(parse(Recipe, read_recipe_file(path), ""))
    recipe = replace(recipe, tokens=tokens) if tokens is not None else recipe
    check(recipe)
    return _without_single_stage(recipe)


def _without_single_stage(recipe: Recipe) -> Recipe:
    """A recipe with one stage as the same recipe with its weights in the sources, so that both give the same mix."""
    if len(recipe.stage) != 1:
        return recipe
    weights = recipe.stage[0].weights
    return replace(recipe, stage=(), source=tuple(replace(s, weight=weights[s.name]) for s in recipe.source))


def _split_addresses(recipe: Recipe) -> Recipe:
    """The recipe with a dataset in place of each `files = "hf://..."`."""
    decontaminate = recipe.decontaminate
    if decontaminate:
        decontaminate = replace(decontaminate, benchmark=tuple(map(split_hub_addresses, decontaminate.benchmark)))
    return replace(recipe, source=tuple(map(split_hub_addresses, recipe.source)), decontaminate=decontaminate)


def check(recipe: Recipe) -> None:
    """Raise `RecipeError` for values of the right type that make no sense."""
    if not 0 < len(recipe.name) <= MAX_NAME or has_control_characters(recipe.name):
        raise RecipeError(f"name = {shorten(recipe.name)}, expected 1 to {MAX_NAME} characters in one line")
    if not recipe.source:
        raise RecipeError("recipe: no [[source]] table; expected at least one")
    if len(recipe.source) > 256:
        raise RecipeError(f"recipe: {len(recipe.source)} sources, expected at most 256 (one byte in the sidecars)")
    if repeated := [name for name, n in Counter(recipe.names).items() if n > 1]:
        raise RecipeError(f"recipe: source names must differ; found {shorten(repeated[0])} twice")
    for source in recipe.source:
        _check_source(source)
        check_clean(recipe.cleaning(source))
    check_stages(recipe.names, [source.weight for source in recipe.source], recipe.stage)
    if recipe.decontaminate is not None:
        check_decontaminate(recipe.decontaminate)
    if recipe.exclude is not None:
        check_exclude(recipe.exclude)
    if recipe.dedup.minhash:
        check_minhash(recipe.dedup.minhash)
    if recipe.dedup.id not in (None, SOURCE, ALL):
        raise RecipeError(
            f'dedup.id = {recipe.dedup.id!r}, expected "source" (ids are compared within each source), "all" (across '
            "all sources, whose ids come from one pool) or false"
        )
    if not 0 <= recipe.keep_dropped <= MAX_KEEP_DROPPED:
        raise RecipeError(f"keep_dropped = {recipe.keep_dropped}, expected 0 to {MAX_KEEP_DROPPED}")
    for key, (minimum, maximum) in _RANGES.items():
        if not minimum <= getattr(recipe, key) <= maximum:
            raise RecipeError(f"{key} = {getattr(recipe, key)}, expected at least {minimum} and at most {maximum:,}")
    if not 0 <= recipe.validation.fraction < 1:
        raise RecipeError(f"validation.fraction = {recipe.validation.fraction}, expected at least 0 and below 1")
    if recipe.validation.minimum < 0:
        raise RecipeError(f"validation.minimum = {recipe.validation.minimum}, expected 0 or more")
    if recipe.packing.mode not in (STREAM, BEST_FIT):
        raise RecipeError(f"packing.mode = {recipe.packing.mode!r}, expected {STREAM!r} or {BEST_FIT!r}")
    if recipe.draw.order not in ORDERS:
        raise RecipeError(f"draw.order = {recipe.draw.order!r}, expected {' or '.join(map(repr, ORDERS))}")
    check_training(recipe.tokenizer)
    _check_order(recipe)


def _check_order(recipe: Recipe) -> None:
    """Raise `RecipeError` when a source gets no window, or the training order could not be computed in 64 bits."""
    windows = total_windows(recipe.tokens, recipe.window)
    if windows > MAX_WINDOWS:
        raise RecipeError(f"tokens = {recipe.tokens:,} make {windows:,} windows, expected at most {MAX_WINDOWS:,}")
    if not recipe.stage:
        recipe.windows  # noqa: B018 - raises when a source gets no window
    check_lengths(windows, recipe.window, recipe.stage)
    for number, stage in enumerate(recipe.stages):
        if not stage.fits_64_bits:
            weights = recipe.stage[number].weights.values() if recipe.stage else recipe.weights
            raise RecipeError(
                f"weights {shorten(list(weights))} have too many digits for an exact order of {stage.length:,} "
                "windows; round them to four digits"
            )
    check_windows(recipe.names, recipe.stages)


def _check_source(source: RecipeSource) -> None:
    if not _NAME.fullmatch(source.name) or len(source.name) > MAX_NAME:
        raise RecipeError(
            f"source name {shorten(source.name)}: expected letters, digits, '.', '_' or '-', at most {MAX_NAME}; it "
            "names files"
        )
    if not (source.files or source.dataset):
        raise RecipeError(f"source {source.name!r}: expected files = or dataset =, found neither")
    for name in source.license:
        if not _LICENSE.fullmatch(name):
            raise RecipeError(f"source {source.name!r}: license {name!r}, expected a name as the hub spells it: odc-by")
    if source.weight is not None and not math.isfinite(source.weight):
        raise RecipeError(f"source {source.name!r}: weight = {source.weight}, expected a number")
    if source.integrity not in ("stream", "sha256"):
        raise RecipeError(f'source {source.name!r}: integrity = {source.integrity!r}, expected "stream" or "sha256"')
    if source.max_damaged < 0:
        raise RecipeError(f"source {source.name!r}: max_damaged = {source.max_damaged}, expected 0 or more")
    check_bounds(source)
    if source.max_epochs < 1:
        raise RecipeError(f"source {source.name!r}: max_epochs = {source.max_epochs}, expected 1 or more")
    if source.files and source.config:
        raise RecipeError(
            f"source {source.name!r}: config chooses files of a dataset, and so does files =; expected one of them"
        )
    if source.revision and not source.dataset:
        raise RecipeError(f"source {source.name!r}: revision belongs to a hub dataset, found it with files =")


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values with all defaults: what the manifest records and the build id covers."""
    content = dict(json.loads(json.dumps(asdict(recipe))))
    if not recipe.stage:
        del content["stage"]  # so that a recipe without stages has the digest it had before there were any
    if recipe.exclude is None:
        del content["exclude"]
    if recipe.validation.minimum == Validation.minimum:
        del content["validation"]["minimum"]
    if recipe.packing == Packing():
        del content["packing"]
    for source in content["source"]:
        if source["weight"] is None:
            del source["weight"]
        if not source["below"]:
            del source["below"]
    return content

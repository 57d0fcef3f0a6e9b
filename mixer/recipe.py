"""The recipe: a TOML file, read into frozen dataclasses and checked before any work.

Most tables are defined beside the code that uses them: `[draw]` is pipelines.readers.draw_order.Draw, `[tokenizer]` is
tokenizer.train.Training, `[[source]]` extends pipelines.readers.source.Source, `[clean]` is
pipelines.filters.cleaner.CleanConfig, `[dedup]` is pipelines.dedup.signatures.Dedup, `[decontaminate]` is
pipelines.decontaminate.index.Decontaminate.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from gpts_data.mixer.quantities import parse_bytes, parse_quantity
from gpts_data.mixer.schedule.budget import budget
from gpts_data.pipelines.decontaminate.index import Decontaminate, check_decontaminate
from gpts_data.pipelines.dedup.signatures import ALL, SOURCE, Dedup
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.filters.cleaner import CleanConfig, check_clean
from gpts_data.pipelines.readers.addresses import split_hub_addresses
from gpts_data.pipelines.readers.draw_order import ORDERS, Draw
from gpts_data.pipelines.readers.source import Source
from gpts_data.tokenizer.artifact import END_OF_TEXT
from gpts_data.tokenizer.train import Training

MAX_KEEP_DROPPED = 10  # dropped documents per reason that every prepared unit has as examples
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_SPECIAL = re.compile(r"<\|[A-Za-z0-9][A-Za-z0-9_]*\|>")  # the pre-tokenizer splits it, so no merge makes it


@dataclass(frozen=True)
class Validation:
    """The `[validation]` table: documents held out of training."""

    fraction: float = 0.0005
    """Fraction of the documents to hold out. They are chosen by a hash of their id."""


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
    validation: Validation = Validation()
    """Documents held out for validation."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sources, in recipe order."""
        return tuple(source.name for source in self.source)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the sources, in recipe order."""
        return tuple(source.weight for source in self.source)

    @property
    def windows(self) -> tuple[int, ...]:
        """Training windows per source, in recipe order."""
        return budget(self.tokens, self.window, self.names, self.weights)

    def cleaning(self, source: RecipeSource) -> CleanConfig:
        """The filters of a source: its own `[source.clean]` if it has one, else `[clean]`."""
        return source.clean or self.clean


def load_recipe(path: Path, tokens: int | None = None) -> Recipe:
    """Read and check a recipe file; `tokens` overrides the number in the file. Raises `RecipeError`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        problem = "is a folder" if path.is_dir() else "no such recipe"
        raise RecipeError(f"{path}: {problem}; expected a TOML file or the name of a preset") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    recipe: Recipe = _split_addresses(parse(Recipe, content, ""))
    recipe = replace(recipe, tokens=tokens) if tokens is not None else recipe
    check(recipe)
    return recipe


def _split_addresses(recipe: Recipe) -> Recipe:
    """The recipe with a dataset in place of each `files = "hf://..."`."""
    decontaminate = recipe.decontaminate
    if decontaminate:
        decontaminate = replace(decontaminate, benchmark=tuple(map(split_hub_addresses, decontaminate.benchmark)))
    return replace(recipe, source=tuple(map(split_hub_addresses, recipe.source)), decontaminate=decontaminate)


def check(recipe: Recipe) -> None:
    """Raise `RecipeError` for values of the right type that make no sense."""
    if not recipe.source:
        raise RecipeError("recipe: no [[source]] table; expected at least one")
    if len(set(recipe.names)) < len(recipe.names):
        raise RecipeError(f"recipe: source names must differ; found {', '.join(recipe.names)}")
    if len(recipe.source) > 256:
        raise RecipeError(f"recipe: {len(recipe.source)} sources, expected at most 256 (one byte in the sidecars)")
    for source in recipe.source:
        _check_source(source)
        check_clean(recipe.cleaning(source))
    if recipe.decontaminate is not None:
        check_decontaminate(recipe.decontaminate)
    minhash = recipe.dedup.minhash
    if minhash and not 0 <= minhash.jaccard <= 1:
        raise RecipeError(f"dedup.minhash.jaccard = {minhash.jaccard}, expected 0 (off) to 1")
    if recipe.dedup.id not in (None, SOURCE, ALL):
        raise RecipeError(
            f'dedup.id = {recipe.dedup.id!r}, expected "source" (ids are compared within each source), "all" (across '
            "all sources, whose ids come from one pool) or false"
        )
    if not 0 <= recipe.keep_dropped <= MAX_KEEP_DROPPED:
        raise RecipeError(f"keep_dropped = {recipe.keep_dropped}, expected 0 to {MAX_KEEP_DROPPED}")
    for key, minimum in (("window", 2), ("unit", 1), ("shard_windows", 1)):
        if getattr(recipe, key) < minimum:
            raise RecipeError(f"{key} = {getattr(recipe, key)}, expected at least {minimum}")
    if not 0 <= recipe.validation.fraction < 1:
        raise RecipeError(f"validation.fraction = {recipe.validation.fraction}, expected at least 0 and below 1")
    if recipe.draw.order not in ORDERS:
        raise RecipeError(f"draw.order = {recipe.draw.order!r}, expected {' or '.join(map(repr, ORDERS))}")
    _check_tokenizer(recipe.tokenizer)
    recipe.windows  # noqa: B018 - raises when a source gets no window


def _check_tokenizer(training: Training) -> None:
    minimum = 257 + len(training.special)
    if not minimum <= training.vocab_size <= 65_536:
        raise RecipeError(
            f"tokenizer.vocab_size = {training.vocab_size}, expected {minimum} (256 bytes, end-of-text"
            f"{' and special tokens' if training.special else ''}) to 65,536"
        )
    for token in training.special:
        if not _SPECIAL.fullmatch(token) or token == END_OF_TEXT or training.special.count(token) > 1:
            raise RecipeError(
                f"tokenizer.special has {token!r}, expected names like <|user|>, each once and none {END_OF_TEXT}: "
                "letters, digits and _ between <| and |>, so that no merge can make one from text"
            )


def _check_source(source: RecipeSource) -> None:
    if not _NAME.fullmatch(source.name):
        raise RecipeError(f"source name {source.name!r}: expected letters, digits, '.', '_' or '-'; it names files")
    if not (source.files or source.dataset):
        raise RecipeError(f"source {source.name!r}: expected files = or dataset =, found neither")
    for name in source.license:
        if not _LICENSE.fullmatch(name):
            raise RecipeError(f"source {source.name!r}: license {name!r}, expected a name as the hub spells it: odc-by")
    if not math.isfinite(source.weight):
        raise RecipeError(f"source {source.name!r}: weight = {source.weight}, expected a number")
    if source.integrity not in ("stream", "sha256"):
        raise RecipeError(f'source {source.name!r}: integrity = {source.integrity!r}, expected "stream" or "sha256"')
    if source.max_damaged < 0:
        raise RecipeError(f"source {source.name!r}: max_damaged = {source.max_damaged}, expected 0 or more")
    if source.max_epochs < 1:
        raise RecipeError(f"source {source.name!r}: max_epochs = {source.max_epochs}, expected 1 or more")
    if source.files and source.config:
        raise RecipeError(
            f"source {source.name!r}: config chooses files of a dataset, and so does files =; expected one of them"
        )
    if source.revision and not source.dataset:
        raise RecipeError(f"source {source.name!r}: revision belongs to a hub dataset, found it with files =")


_QUANTITIES = {"tokens": parse_quantity, "sample": parse_bytes, "unit": parse_bytes, "max_document_bytes": parse_bytes}

# The tables are parsed here rather than with msgspec: msgspec 0.22 ignores unknown keys of dataclasses, suggests no
# spelling, wants a list where one string will do, and turns `weight = 55` into 55.0, which changes every root digest.


def parse(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """Parse a TOML table at the path `where` (such as `source[0].`) as the dataclass `kind`. Raises `RecipeError`."""
    if kind is CleanConfig:
        return _parse_clean(table, where)
    known = {spec.name: spec for spec in fields(kind)}
    hints = get_type_hints(kind)
    for key in table:
        if key not in known:
            raise RecipeError(f"recipe: unknown key {where}{key!s}{_suggest(key, known)}")
    for name, spec in known.items():
        if name not in table and spec.default is MISSING and spec.default_factory is MISSING:
            raise RecipeError(f"recipe: {where}{name} is missing")
    values = {key: _parse_value(hints[key], value, f"{where}{key}", known[key]) for key, value in table.items()}
    return kind(**values)


def _parse_value(hint: Any, value: Any, where: str, spec: Field[Any]) -> Any:
    """Parse the value of the field `spec`, whose type is `hint`."""
    if spec.name in _QUANTITIES:
        try:
            return _QUANTITIES[spec.name](value)
        except ValueError as error:
            raise RecipeError(f"recipe: {where} = {value!r}, expected a quantity such as 25B, 2M or 64MB") from error
    if get_origin(hint) in (Union, types.UnionType):
        if value is False and type(None) in get_args(hint):  # TOML has no null: `minhash = false`
            return None
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is tuple:
        return _parse_list(get_args(hint)[0], value, where, spec)
    if get_origin(hint) is Mapping:
        return _parse_numbers(value, where)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise RecipeError(f"recipe: {where} = {value!r}, expected a table")
        return parse(hint, value, f"{where}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return value  # stays a whole number: the manifest records what the recipe says
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise RecipeError(f"recipe: {where} = {value!r}, expected {hint.__name__}")
    return value


def _parse_list(hint: Any, value: Any, where: str, spec: Field[Any]) -> tuple[Any, ...]:
    items = [value] if hint is str and isinstance(value, str) else value
    if not isinstance(items, list):
        raise RecipeError(f"recipe: {where} = {value!r}, expected a list")
    if is_dataclass(hint):
        return tuple(parse(hint, item, f"{where}[{i}].") for i, item in enumerate(items))
    return tuple(_parse_value(hint, item, where, spec) for item in items)


def _parse_numbers(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"recipe: {where} = {value!r}, expected a table such as {{ int_score = 3 }}")
    for key, number in value.items():
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise RecipeError(f"recipe: {where}.{key} = {number!r}, expected a number")
    return dict(value)


def _parse_clean(table: Mapping[str, Any], where: str) -> CleanConfig:
    """Parse `[clean]`: its own keys, and one table of thresholds per filter, under the filter's name."""
    own = {f.name for f in fields(CleanConfig)} - {"thresholds"}
    thresholds = {key: value for key, value in table.items() if key not in own}
    for key, value in thresholds.items():
        if not isinstance(value, Mapping):
            raise RecipeError(f"recipe: unknown key {where}{key}{_suggest(key, own)}")
    hints = get_type_hints(CleanConfig)
    specs = {f.name: f for f in fields(CleanConfig)}
    values = {key: _parse_value(hints[key], table[key], f"{where}{key}", specs[key]) for key in table.keys() & own}
    return CleanConfig(**values, thresholds={key: dict(value) for key, value in thresholds.items()})


def _suggest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(sorted(known))}"


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values with all defaults: what the manifest records and the build id covers."""
    return dict(json.loads(json.dumps(asdict(recipe))))

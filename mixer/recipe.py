"""The recipe: a TOML file as frozen dataclasses, checked before any work.

Each table is the dataclass beside the code it drives: `[tokenizer]` is tokenizer.train.Training, `[[source]]` is
pipelines.readers.source.Source, `[clean]` pipelines.filters.cleaner.Clean, `[dedup]` pipelines.dedup.signatures.Dedup,
`[decontaminate]` pipelines.decontaminate.index.Decontaminate.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from gpts_data.mixer.schedule.budget import budget
from gpts_data.pipelines.decontaminate.index import Decontaminate, check_decontaminate
from gpts_data.pipelines.dedup.signatures import Dedup
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.filters.cleaner import CleanConfig, check_clean
from gpts_data.pipelines.readers.source import Source
from gpts_data.tokenizer.artifact import END_OF_TEXT
from gpts_data.tokenizer.train import Training

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_BYTE_UNITS = {**_UNITS, **{f"{u}B": n for u, n in _UNITS.items() if u not in ("", "B")}, "KIB": 2**10, "MIB": 2**20}
_BYTE_UNITS |= {"GIB": 2**30, "TIB": 2**40}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_SPECIAL = re.compile(r"<\|[A-Za-z0-9][A-Za-z0-9_]*\|>")  # a pre-tokenizer cuts it where letters or digits begin


@dataclass(frozen=True)
class Validation:
    """The `[validation]` table."""

    fraction: float = 0.0005
    """The share of documents held out of training, by hash of their id."""


@dataclass(frozen=True)
class RecipeSource(Source):
    """A `[[source]]` table: `files`, or a hub `dataset`. Order matters: of duplicates the earlier source's stays."""

    license: tuple[str, ...] = ()
    """Of its texts, as the hub spells it (`odc-by`, `cc-by-4.0`), one or several: for the card of the mix."""
    clean: CleanConfig | None = None
    """`[source.clean]` below it: in the place of `[clean]`."""
    max_epochs: int = 1
    """How often its windows may be in the mix, when it is too short."""


@dataclass(frozen=True)
class Recipe:
    """Everything the bytes of a mix depend on, besides the source files and the tokenizer."""

    name: str
    """Of the mix, on its card."""
    tokens: int
    """Training tokens, such as `25B`; `--tokens` overrides. Rounded to whole windows."""
    source: tuple[RecipeSource, ...]
    """At least one `[[source]]`."""
    window: int = 512
    """Tokens of a window: what a model sees at once."""
    seed: int = 20260
    """Of the order of the windows of each source."""
    unit: int = 64_000_000
    """Bytes of text that are one piece of work, and what a kill may cost; of a compressed file of lines all."""
    shard_windows: int = 131_072
    """Windows of a shard file: 134 MB of 512."""
    keep_dropped: int = 0
    """Dropped documents that are kept for human eyes, of each source and reason."""
    tokenizer: Training = Training()
    """What is learnt, where none is given."""
    clean: CleanConfig = field(default_factory=CleanConfig)
    """What is dropped for its looks."""
    dedup: Dedup = Dedup()
    """What is dropped because it was there before, in any source."""
    decontaminate: Decontaminate | None = None
    """What is dropped because a benchmark asks for it."""
    validation: Validation = Validation()
    """What is held out."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the sources, in recipe order."""
        return tuple(source.name for source in self.source)

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the sources, in recipe order."""
        return tuple(source.weight for source in self.source)

    @property
    def windows(self) -> tuple[int, ...]:
        """Windows per source, in recipe order."""
        return budget(self.tokens, self.window, self.names, self.weights)

    def cleaning(self, source: RecipeSource) -> CleanConfig:
        """What a source's documents go through: its own `[source.clean]`, else `[clean]`."""
        return source.clean or self.clean


def load_recipe(path: Path, tokens: int | None = None) -> Recipe:
    """Read and check a recipe file; `tokens` overrides its own. Raises `RecipeError`."""
    try:
        content = tomllib.loads(path.read_text())
    except (FileNotFoundError, IsADirectoryError) as error:
        found = "is a folder" if path.is_dir() else "no such recipe"
        raise RecipeError(f"{path}: {found}; expected a TOML file or the name of a preset") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not valid TOML: {error}") from error
    recipe: Recipe = parse(Recipe, content, "")
    recipe = replace(recipe, tokens=tokens) if tokens is not None else recipe
    check(recipe)
    return recipe


def check(recipe: Recipe) -> None:
    """Raise `RecipeError` for values that parse but cannot be meant."""
    if not recipe.source:
        raise RecipeError("recipe: no [[source]]; expected at least one")
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
    if recipe.keep_dropped < 0:
        raise RecipeError(f"keep_dropped = {recipe.keep_dropped}, expected 0 or more")
    for key in ("window", "unit", "shard_windows"):
        if getattr(recipe, key) < (2 if key == "window" else 1):
            raise RecipeError(f"{key} = {getattr(recipe, key)}, expected at least {2 if key == 'window' else 1}")
    if not 0 <= recipe.validation.fraction < 1:
        raise RecipeError(f"validation.fraction = {recipe.validation.fraction}, expected at least 0 and below 1")
    _check_tokenizer(recipe.tokenizer)
    recipe.windows  # noqa: B018 - raises when a source gets none


def _check_tokenizer(training: Training) -> None:
    least = 257 + len(training.special)
    if not least <= training.vocab_size <= 65_536:
        raise RecipeError(
            f"tokenizer.vocab_size = {training.vocab_size}, expected {least} (256 bytes, end-of-text"
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
    if bool(source.files) == bool(source.dataset):
        raise RecipeError(
            f"source {source.name!r}: expected either files = or dataset =, found "
            + ("both" if source.files else "neither")
        )
    for name in source.license:
        if not _LICENSE.fullmatch(name):
            raise RecipeError(f"source {source.name!r}: license {name!r}, expected a name as the hub has it: odc-by")
    if not math.isfinite(source.weight):
        raise RecipeError(f"source {source.name!r}: weight = {source.weight}, expected a number")
    if source.integrity not in ("stream", "sha256"):
        raise RecipeError(f'source {source.name!r}: integrity = {source.integrity!r}, expected "stream" or "sha256"')
    if source.max_damaged < 0:
        raise RecipeError(f"source {source.name!r}: max_damaged = {source.max_damaged}, expected 0 or more")
    if source.max_epochs < 1:
        raise RecipeError(f"source {source.name!r}: max_epochs = {source.max_epochs}, expected 1 or more")
    if source.files and (source.config or source.revision):
        raise RecipeError(f"source {source.name!r}: config and revision belong to a hub dataset, not to files =")


def parse_quantity(text: str | int | float, units: Mapping[str, int] = _UNITS) -> int:
    """`25B`, `2.5M`, `300k`, `12_000` as a whole number; with bytes also `64MB`, `1GiB`. Raises ValueError."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        number, unit = str(text), ""
    else:
        match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)", str(text).strip())
        if not match or match[2].upper() not in units:
            raise ValueError(text)
        number, unit = match[1].replace("_", ""), match[2].upper()
    whole = round(float(number) * units[unit]) if "." in number or "e" in number else int(number) * units[unit]
    if whole <= 0:
        raise ValueError(text)
    return whole


def parse_bytes(text: str | int | float) -> int:
    return parse_quantity(text, _BYTE_UNITS)


_QUANTITIES = {"tokens": parse_quantity, "sample": parse_bytes, "unit": parse_bytes, "max_document_bytes": parse_bytes}


def parse(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """A TOML table as the dataclass `kind`. Raises `RecipeError` naming the key, what was found, what was expected."""
    if kind is CleanConfig:
        return _parse_clean(table, where)
    known = {f.name: f for f in fields(kind)}
    hints = get_type_hints(kind)
    for key in table:
        if key not in known:
            raise RecipeError(f"recipe: unknown key {where}{key!s}{_suggest(key, known)}")
    for name, f in known.items():
        if name not in table and f.default is MISSING and f.default_factory is MISSING:
            raise RecipeError(f"recipe: {where}{name} is missing")
    values = {key: _value(hints[key], value, f"{where}{key}", known[key]) for key, value in table.items()}
    return kind(**values)


def _value(hint: Any, value: Any, where: str, spec: Field[Any]) -> Any:
    if spec.name in _QUANTITIES:
        try:
            return _QUANTITIES[spec.name](value)
        except ValueError as error:
            raise RecipeError(f"recipe: {where} = {value!r}, expected a quantity such as 25B, 2M or 64MB") from error
    if get_origin(hint) in (Union, types.UnionType):
        if value is False and type(None) in get_args(hint):
            return None
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is tuple:
        return _items(get_args(hint)[0], value, where, spec)
    if get_origin(hint) is Mapping:
        return _numbers(value, where)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise RecipeError(f"recipe: {where} = {value!r}, expected a table")
        return parse(hint, value, f"{where}.")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise RecipeError(f"recipe: {where} = {value!r}, expected {hint.__name__}")
    return value


def _items(hint: Any, value: Any, where: str, spec: Field[Any]) -> tuple[Any, ...]:
    items = [value] if hint is str and isinstance(value, str) else value
    if not isinstance(items, list):
        raise RecipeError(f"recipe: {where} = {value!r}, expected a list")
    if is_dataclass(hint):
        return tuple(parse(hint, item, f"{where}[{i}].") for i, item in enumerate(items))
    return tuple(_value(hint, item, where, spec) for item in items)


def _numbers(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"recipe: {where} = {value!r}, expected a table such as {{ int_score = 3 }}")
    for key, number in value.items():
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise RecipeError(f"recipe: {where}.{key} = {number!r}, expected a number")
    return dict(value)


def _parse_clean(table: Mapping[str, Any], where: str) -> CleanConfig:
    """`[clean]`: its own keys, and a table of thresholds for each filter that is named."""
    own = {f.name for f in fields(CleanConfig)} - {"thresholds"}
    thresholds = {key: value for key, value in table.items() if key not in own}
    for key, value in thresholds.items():
        if not isinstance(value, Mapping):
            raise RecipeError(f"recipe: unknown key {where}{key}{_suggest(key, own)}")
    hints = get_type_hints(CleanConfig)
    specs = {f.name: f for f in fields(CleanConfig)}
    values = {key: _value(hints[key], table[key], f"{where}{key}", specs[key]) for key in table.keys() & own}
    return CleanConfig(**values, thresholds={key: dict(value) for key, value in thresholds.items()})


def _suggest(key: str, known: Any) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {close[0]}?" if close else f"; expected one of {', '.join(sorted(known))}"


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON values, defaults filled in: what the manifest records and the build id hashes."""
    return dict(json.loads(json.dumps(asdict(recipe))))

"""Plain values of a TOML file as the dataclasses of the recipe, with their types checked.

The tables are parsed here rather than with msgspec: msgspec 0.22 ignores unknown keys of dataclasses, suggests no
spelling, wants a list where one string will do, and turns `weight = 55` into 55.0, which changes every root digest.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gpts_data.mixer.quantities import parse_bytes, parse_quantity, parse_until
from gpts_data.mixer.recipe_file import MAX_SHOWN, shorten
from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.suggestion import suggest

_QUANTITIES = {
    "tokens": parse_quantity,
    "until": parse_until,
    "sample": parse_bytes,
    "unit": parse_bytes,
    "max_document_bytes": parse_bytes,
}


def parse(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    """Parse a TOML table at the path `where` (such as `source[0].`) as the dataclass `kind`. Raises `RecipeError`."""
    if kind is CleanConfig:
        return _parse_clean(table, where)
    known = {spec.name: spec for spec in fields(kind)}
    hints = get_type_hints(kind)
    for key in table:
        if key not in known:
            raise RecipeError(f"recipe: unknown key {where}{key[:MAX_SHOWN]}{_suggest(key, known)}")
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
            raise RecipeError(
                f"recipe: {where} = {shorten(value)}, expected a quantity such as 25B, 2M or 64MB"
            ) from error
    if get_origin(hint) in (Union, types.UnionType):
        if value is False and type(None) in get_args(hint):  # TOML has no null: `minhash = false`
            return None
        hint = next(option for option in get_args(hint) if option is not type(None))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise RecipeError(f"recipe: {where} = {shorten(value)}, expected {' or '.join(map(repr, get_args(hint)))}")
        return value
    if get_origin(hint) is tuple:
        return _parse_list(get_args(hint)[0], value, where, spec)
    if get_origin(hint) is Mapping:
        return _parse_numbers(value, where)
    if is_dataclass(hint):
        return _parse_table(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return value  # stays a whole number: the manifest records what the recipe says
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise RecipeError(f"recipe: {where} = {shorten(value)}, expected {hint.__name__}")
    return value


def _parse_list(hint: Any, value: Any, where: str, spec: Field[Any]) -> tuple[Any, ...]:
    items = [value] if hint is str and isinstance(value, str) else value
    if not isinstance(items, list):
        raise RecipeError(f"recipe: {where} = {shorten(value)}, expected a list")
    if is_dataclass(hint):
        return tuple(_parse_table(hint, item, f"{where}[{i}]") for i, item in enumerate(items))
    return tuple(_parse_value(hint, item, where, spec) for item in items)


def _parse_table(hint: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise RecipeError(f"recipe: {where} = {shorten(value)}, expected a table")
    return parse(hint, value, f"{where}.")


def _parse_numbers(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"recipe: {where} = {shorten(value)}, expected a table such as {{ int_score = 3 }}")
    for key, number in value.items():
        if not isinstance(number, int | float) or isinstance(number, bool):
            raise RecipeError(f"recipe: {where}.{key} = {shorten(number)}, expected a number")
    return dict(value)


def _parse_clean(table: Mapping[str, Any], where: str) -> CleanConfig:
    """Parse `[clean]`: its own keys, and one table of thresholds per filter, under the filter's name."""
    own = {f.name for f in fields(CleanConfig)} - {"thresholds"}
    thresholds = {key: value for key, value in table.items() if key not in own}
    for key, value in thresholds.items():
        if not isinstance(value, Mapping):
            raise RecipeError(f"recipe: unknown key {where}{key[:MAX_SHOWN]}{_suggest(key, own)}")
    hints = get_type_hints(CleanConfig)
    specs = {f.name: f for f in fields(CleanConfig)}
    values = {key: _parse_value(hints[key], table[key], f"{where}{key}", specs[key]) for key in table.keys() & own}
    return CleanConfig(**values, thresholds={key: dict(value) for key, value in thresholds.items()})


def _suggest(key: str, known: Iterable[str]) -> str:
    return f"; {suggest(key, sorted(known))}"

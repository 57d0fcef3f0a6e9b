"""Read JSON files that a stranger may have written: strict JSON, checked against a TypedDict or dataclass by msgspec.

A file is checked once, where it is read. What passes has the declared types and ranges, finite numbers and strings of
valid Unicode; keys that the type does not declare stay and are ignored, so that a newer version can add some.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from gpts_data.pipelines.storage.paths import AnyPath, is_store, read_range

T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""A number of things, or of bytes."""
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
MAX_BYTES = 256 << 20
"""The largest file that is read: the manifest of 25B tokens has 10 MB."""
_MAX_SHOWN = 60  # characters of a wrong value
_STEP = re.compile(
    r"\[(\d+|\.\.\.)\]|\.([^.\[\]`]+)"
)  # of msgspec's paths: `$.files[3].bytes`, `$.sources[...].windows`


class JsonError(ValueError):
    """The content is not the JSON that was expected. The message names the key, the value and the expected one."""


def read_json_file(path: AnyPath, kind: type[T]) -> T:
    """Read and check a JSON file. Raises `JsonError`, and `FileNotFoundError` or `NotADirectoryError` without one."""
    return parse_json(read_regular_file(path), kind)


def read_regular_file(path: AnyPath, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a file. Raises `JsonError` for a folder, a pipe, a device (which may never end) or a huge file."""
    if is_store(path):
        content = read_range(path, 0, max_bytes + 1)
        if len(content) > max_bytes:
            raise JsonError(f"expected at most {max_bytes:,} bytes")
        return content
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise JsonError("not a regular file")
    if status.st_size > max_bytes:
        raise JsonError(f"{status.st_size:,} bytes, expected at most {max_bytes:,}")
    return path.read_bytes()


def parse_json(content: bytes, kind: type[T]) -> T:
    """Parse JSON of a type. Raises `JsonError`."""
    try:
        value = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"not readable as JSON: {error}") from error
    return check_type(value, kind)


def decode_json(content: bytes, kind: type[T]) -> T:
    """Parse JSON and keep only what the type declares, so that nothing else takes memory. Raises `JsonError`."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"not readable as JSON: {error}") from error


def check_type(value: Any, kind: type[T]) -> T:
    """`value` itself, as plain values, when it is of a type. Raises `JsonError`."""
    convert(value, kind)
    return value  # type: ignore[no-any-return]


def convert(value: Any, kind: type[T]) -> T:
    """Plain values as an object of a type, such as a dataclass. Raises `JsonError`."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise JsonError(_describe(value, lambda value: msgspec.convert(value, kind), str(error))) from error


def _describe(value: Any, convert: Callable[[Any], Any], message: str) -> str:
    """`sources.web.windows: found -1, expected int >= 0` from msgspec's message.

    msgspec does not name the keys of a dictionary. The one with the wrong value is that which alone gives the message.
    """
    problem, _, where = message.replace("`", "").partition(" - at ")
    keys: list[Any] = []
    found = value
    for index, name in _STEP.findall(where):
        key: Any = int(index) if index.isdigit() else name
        if index == "..." and isinstance(found, dict):
            key = next((key for key in found if _error(_only(value, keys, key), convert) == message), None)
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            return message  # a key itself is wrong
        keys.append(key)
    name = ".".join(map(str, keys)) or "its content"
    if not problem.startswith("Expected"):
        return f"{name}: {problem}"
    shown = repr(found)
    shown = shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}..."
    expected = problem.removeprefix("Expected ").split(", got ")[0]
    return f"{name}: found {shown}, expected {expected}"


def _only(value: Any, keys: list[Any], key: Any) -> Any:
    """A copy of `value` whose dictionary at `keys` has only `key`."""
    if not keys:
        return {key: value[key]}
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[keys[0]] = _only(value[keys[0]], keys[1:], key)
    return copy


def _error(value: Any, convert: Callable[[Any], Any]) -> str:
    try:
        convert(value)
    except (msgspec.ValidationError, RecursionError) as error:
        return str(error)
    return ""

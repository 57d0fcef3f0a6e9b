"""The TOML file of a recipe as plain values, with nothing in it that later code could not use or print.

A recipe may come from a stranger, so its size, the depth of its tables and its numbers are limited here, once: whatever
passes fits into 64 bits, into a path, and into a line of a message.
"""

from __future__ import annotations

import math
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.text.control_characters import escape, has_control_characters

MAX_BYTES = 1_000_000  # of a recipe; 10,000 paths of 80 characters fit
MAX_DEPTH = 10  # tables in tables; a recipe needs 5: decontaminate, its list, a benchmark, its columns, a name
MAX_CHARACTERS = 4096  # of a string: the length of a path
MAX_SHOWN = 60  # characters of a value in a message
_DEEP_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++\s*+\.\s*+){100}""")  # tomllib needs quadratic time for a.a.a.a...
_INT64 = range(-(2**63), 2**63)


def read_recipe_file(path: Path) -> dict[str, Any]:
    """The content of a recipe file. Raises `RecipeError` for a file that cannot be a recipe."""
    content = _parse(path)
    for key, value in content.items():
        _check(value, str(key), 1)
    return content


def shorten(value: object) -> str:
    """`repr(value)` for a message, cut to MAX_SHOWN characters."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = _read(path).decode("utf-8-sig")  # Notepad writes a byte order mark, which TOML does not allow
        if _DEEP_KEY.search(text):
            raise RecursionError
        return tomllib.loads(text.replace("\r\n", "\n"))
    except RecursionError as error:
        raise RecipeError(f"{path}: tables or lists are nested too deeply; expected at most {MAX_DEPTH}") from error
    except ValueError as error:  # also of numbers with more than 4,300 digits, which tomllib leaves to int()
        raise RecipeError(f"{path}: not valid TOML: {error}") from error


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            problem = "is a folder" if path.is_dir() else "is no regular file"
            raise RecipeError(f"{path}: {problem}; expected a TOML file or the name of a preset")
        if status.st_size > MAX_BYTES:
            raise RecipeError(
                f"{path}: {status.st_size:,} bytes, expected a TOML file of at most {MAX_BYTES:,}; many files can be "
                "named by one glob"
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RecipeError(f"{path}: no such recipe; expected a TOML file or the name of a preset") from error
    except (OSError, ValueError) as error:  # a null byte or a lone surrogate in the path is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(f"{path}: cannot be read: {reason}; expected a TOML file") from error


def _check(value: Any, where: str, depth: int) -> None:
    """Raise `RecipeError` for a value that no key can have; `where` is its dotted key."""
    if len(where) > MAX_CHARACTERS or has_control_characters(where):
        raise RecipeError(f"recipe: the key {shorten(where)} is too long or has control characters")
    if depth > MAX_DEPTH:
        raise RecipeError(f"recipe: {where} is nested too deeply; expected at most {MAX_DEPTH} tables or lists")
    if isinstance(value, dict):
        for key, item in value.items():
            _check(item, f"{where}.{key}", depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check(item, f"{where}[{number}]", depth + 1)
    elif isinstance(value, int) and value not in _INT64:
        raise RecipeError(f"recipe: {where} is a number of {value.bit_length()} bits, expected at most 64")
    elif isinstance(value, float) and not math.isfinite(value):
        raise RecipeError(f"recipe: {where} = {value}, expected a number")
    elif isinstance(value, str):
        _check_string(value, where)


def _check_string(text: str, where: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise RecipeError(f"recipe: {where} has {len(text):,} characters, expected at most {MAX_CHARACTERS:,}")
    if escape(text) != text:  # which leaves tabs and line feeds: a filter's stop character may be one
        raise RecipeError(f"recipe: {where} = {shorten(text)} has control characters; remove them")

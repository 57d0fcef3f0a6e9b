"""Globs over local folders, as `glob.glob(recursive=True)` finds them, that end for any pattern and any links.

Python's own glob follows links to folders without remembering where it was: two links that lead back to their folder
give `**` 2^40 paths. Braces are expanded as a shell does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from glob import has_magic

from gpts_data.pipelines.errors import RecipeError

MAX_EXPANDED = 10_000  # patterns that braces make
MAX_REPEATS = 5000  # folders that are listed once more, through links or through several `**` in one pattern
KERNEL_FOLDERS = ("/proc", "/sys", "/dev")  # files that are not on any disk, and links to everything that is
DATA_IN_KERNEL_FOLDERS = "/dev/shm"
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


def expand_braces(pattern: str) -> list[str]:
    """`a.{x,y}` as `a.x` and `a.y`, as a shell does. Raises `RecipeError` for more than MAX_EXPANDED of them."""
    expanded, finished = [pattern], False
    while not finished:
        finished, parts = True, expanded
        expanded = []
        for part in parts:
            braces = _BRACES.search(part)
            options = braces[1].split(",") if braces else [""]
            start, stop = braces.span() if braces else (len(part), len(part))
            expanded += [part[:start] + option + part[stop:] for option in options]
            finished = finished and braces is None
            if len(expanded) > MAX_EXPANDED:
                raise RecipeError(f"{pattern[:60]!r}: its braces make more than {MAX_EXPANDED:,} patterns; use a glob")
    return list(dict.fromkeys(expanded))


def is_kernel_folder(path: str) -> bool:
    """Whether a path is in a file system that shows the state of the machine, such as /proc."""
    return _is_in(path, KERNEL_FOLDERS) and not _is_in(path, (DATA_IN_KERNEL_FOLDERS,))


def find_matches(pattern: str, folder: str) -> Iterator[str]:
    """The paths that a glob matches, relative to `folder` unless the pattern is absolute, in any order.

    `**` stands for any number of folders; a link to a folder is followed unless it leads back to where it came from.
    Raises `RecipeError` when the pattern leads to the same folders again and again.
    """
    if not pattern:
        return
    parts = [part for part in pattern.split("/") if part]
    for match in _Search(pattern, folder).expand("/" if pattern.startswith("/") else "", parts):
        if not pattern.endswith("/") or os.path.isdir(os.path.join(folder, match)):
            yield match


class _Search:
    """The search for one pattern; it counts the folders that it lists again."""

    def __init__(self, pattern: str, folder: str) -> None:
        self._pattern, self._folder = pattern, folder
        self._listed: dict[tuple[int, int], list[str]] = {}  # by device and inode
        self._repeats = 0

    def expand(self, prefix: str, parts: list[str]) -> Iterator[str]:
        """The paths below `prefix` that match the rest of the pattern."""
        if not parts:
            yield prefix
            return
        part, *rest = parts
        if part == "**":
            yield from self._below(prefix, rest, frozenset())
            return
        names = [name for name in self._names(prefix) if _matches(name, part)] if has_magic(part) else [part]
        for path in (os.path.join(prefix, name) for name in names):
            if self._is_folder(path) if rest else os.path.lexists(os.path.join(self._folder, path)):
                yield from self.expand(path, rest)

    def _below(self, prefix: str, rest: list[str], parents: frozenset[tuple[int, int]]) -> Iterator[str]:
        """As `expand` with `prefix` and with all folders below it; without a rest, everything below it, and itself."""
        identity = self._identity(prefix)
        if identity is None or identity in parents:
            return
        if rest:
            yield from self.expand(prefix, rest)
        elif prefix:
            yield prefix
        for name in self._names(prefix):
            path = os.path.join(prefix, name)
            if name.startswith("."):
                continue
            if self._is_folder(path):
                yield from self._below(path, rest, parents | {identity})
            elif not rest:
                yield path

    def _names(self, prefix: str) -> list[str]:
        """The names in a folder; none of one that cannot be listed, as in Python's glob."""
        identity = self._identity(prefix)
        if identity is None:
            return []
        path = os.path.join(self._folder, prefix)
        if identity not in self._listed:
            try:
                self._listed[identity] = [] if is_kernel_folder(os.path.realpath(path)) else os.listdir(path)
            except OSError:
                self._listed[identity] = []
            return self._listed[identity]
        self._repeats += 1
        if self._repeats > MAX_REPEATS:
            raise RecipeError(
                f"{self._pattern[:60]!r} leads to the same folders more than {MAX_REPEATS:,} times, such as "
                f"{path[:200]}; remove links to folders there, or name the files more closely"
            )
        return self._listed[identity]

    def _identity(self, prefix: str) -> tuple[int, int] | None:
        """Device and inode of a path; None if there is nothing, or a circle of links."""
        try:
            status = os.stat(os.path.join(self._folder, prefix))
        except (OSError, ValueError):
            return None
        return status.st_dev, status.st_ino

    def _is_folder(self, path: str) -> bool:
        return os.path.isdir(os.path.join(self._folder, path))


def _matches(name: str, part: str) -> bool:
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))


def _is_in(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)

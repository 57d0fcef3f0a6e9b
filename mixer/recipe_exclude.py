"""The `[exclude]` table of a recipe, and the lists of ids, URLs and domains that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.storage.typed_json import JsonError, read_regular_file
from gpts_data.pipelines.text.hosts import canonical_url, normalize_host, url_host

KINDS = ("ids", "urls", "domains")
"""Keys of `[exclude]`. A document in lists of several kinds is dropped for the first of these."""
MAX_BYTES = 4_000_000_000  # of a list; 40 million ids of 47 characters are 2 GB
MAX_LINE = 100_000  # characters


@dataclass(frozen=True)
class Exclude:
    """The `[exclude]` table: lists of documents that must not be in the mix. Each is a text file, or several, with one
    entry a line; paths are relative to the recipe's folder. Blank lines and lines that begin with # are ignored."""

    ids: tuple[str, ...] = ()
    """Files of document ids, as `trace` shows them."""
    urls: tuple[str, ...] = ()
    """Files of URLs. The scheme, the fragment and the spelling of host and percent-encoding do not matter."""
    domains: tuple[str, ...] = ()
    """Files of domains: `example.org` excludes it and its subdomains."""


class ListDigest(TypedDict):
    """What the plan and the manifest say of a list: the digest of its entries, and not the entries."""

    kind: str
    sha256: str
    """Of the distinct entries in normal form, sorted, each followed by a line feed."""
    entries: int


@dataclass(frozen=True)
class ExclusionList:
    """One file of `[exclude]`."""

    kind: str
    """One of KINDS."""
    file: str
    """Its path, as the recipe has it."""
    entries: tuple[str, ...]
    """Its distinct entries in normal form, sorted."""

    def digest(self) -> ListDigest:
        content = "".join(f"{entry}\n" for entry in self.entries).encode()
        return {"kind": self.kind, "sha256": hashlib.sha256(content).hexdigest(), "entries": len(self.entries)}


def check_exclude(exclude: Exclude) -> None:
    """Raise `RecipeError` for a table that names no list."""
    if not any(getattr(exclude, kind) for kind in KINDS):
        raise RecipeError(f"recipe: [exclude] names no list; expected {', '.join(KINDS[:-1])} or {KINDS[-1]} = FILE")


def read_lists(exclude: Exclude | None, folder: Path) -> tuple[ExclusionList, ...]:
    """The lists of a recipe whose paths start at `folder`. Raises `RecipeError`, naming the file and line."""
    if exclude is None:
        return ()
    return tuple(_read(kind, file, folder / file) for kind in KINDS for file in getattr(exclude, kind))


def _read(kind: str, file: str, path: Path) -> ExclusionList:
    where = f"recipe: exclude.{kind} = {file!r}"
    try:
        text = read_regular_file(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = error.object.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{where}: line {number} is not UTF-8; expected a text file with one entry a line") from error
    except (OSError, ValueError, JsonError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RecipeError(f"{where}: {path} cannot be read: {reason}; expected a file with one entry a line") from error
    entries = set()
    for number, line in enumerate(text.split("\n"), 1):
        entry = line.strip()
        if entry and not entry.startswith("#"):
            entries.add(_normalize(kind, entry[: MAX_LINE + 1], f"{where}, line {number}"))
    return ExclusionList(kind, file, tuple(sorted(entries)))


def _normalize(kind: str, entry: str, where: str) -> str:
    if len(entry) > MAX_LINE:
        raise RecipeError(f"{where}: more than {MAX_LINE:,} characters; expected one entry a line")
    return _NORMALIZERS[kind](entry, where)


def _domain(entry: str, where: str) -> str:
    """A domain, from `example.org`, `*.example.org` or `https://example.org/`."""
    host = url_host(entry) if "/" in entry else normalize_host(entry.removeprefix("*"))
    if host is None or any(character in host for character in " */\\?#@") or entry.rstrip("/").count("/") not in (0, 2):
        raise RecipeError(f"{where}: {entry[:60]!r}, expected a domain such as example.org; single pages go into urls")
    return host


_NORMALIZERS: dict[str, Callable[[str, str], str]] = {
    "ids": lambda entry, _: entry,
    "urls": lambda entry, _: canonical_url(entry),
    "domains": _domain,
}

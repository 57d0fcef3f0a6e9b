"""Files, folders and addresses as the sources of a new recipe: one source for each group of files that belong together.

Files belong together when they lie in one folder, are of one kind, and their names differ in numbers only, as those of
`train-00000-of-00002.parquet` and `train-00001-of-00002.parquet` do. Text files of one folder always do, because each
is a document.
"""

from __future__ import annotations

import logging
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from gpts_data.mixer.recipe import RecipeSource
from gpts_data.pipelines.errors import RecipeError, UsageError
from gpts_data.pipelines.readers.addresses import split_hub_addresses
from gpts_data.pipelines.readers.globs import find_matches
from gpts_data.pipelines.readers.kinds import COMPRESSIONS, FORMATS, TXT, format_of
from gpts_data.pipelines.readers.local_files import is_data, local_files

log = logging.getLogger("gpts_data")
MAX_FAMILIES = 8  # of names in one folder that become sources of their own; more are parts of one source
MAX_GROUPS = 16  # that become sources of their own; more are joined, by the folder that was given
MAX_NAME = 60  # characters of a source's name
HUB = "hf://"
_HUB_DATASET = re.compile(r"hf://(?!datasets/)([^/@]+/[^/@]+)(?:@([^/]+))?(?:/([^/]+))?/?")
_NUMBERS = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}|\d+")  # UUIDs, digests, numbers
_GENERIC = {"", "part", "train", "data", "shard", "file", "chunk", "split", "default", "snappy", "en"}
_SAVED = ("dataset_dict.json", "state.json", "dataset_info.json")  # of `datasets.save_to_disk`

Group = tuple[str, list[str]]
"""A name for the source, not yet a valid or unique one, and the paths of its files."""


def find_sources(arguments: Sequence[str], recipe_folder: Path) -> list[RecipeSource]:
    """The sources of the files, folders, globs and addresses that were given, without weights.

    recipe_folder: what paths in the recipe are relative to; those of `arguments` start at the current folder.

    Raises `UsageError` for what does not exist, `RecipeError` for what cannot be read.
    """
    folder = recipe_folder.resolve()
    roots: dict[str, str] = {}  # of each file, the folder that it was found below
    named: list[tuple[str, RecipeSource]] = []
    for argument in arguments:
        if "://" in argument:
            named.append(_address_source(argument))
        elif any(os.path.exists(os.path.join(argument, name)) for name in _SAVED):
            path = os.path.abspath(argument)
            named.append((_folder_label(path), RecipeSource("", files=(_relative(path, folder),))))
        else:
            root = os.path.abspath(argument)
            for path in _local_files(argument):
                roots.setdefault(path, root if os.path.isdir(root) else os.path.dirname(path))
    local = [(label, RecipeSource("", files=_patterns(paths, roots, folder))) for label, paths in _groups(roots)]
    labels = _unique(label for label, _ in [*local, *named])
    return [replace(source, name=name) for name, (_, source) in zip(labels, [*local, *named], strict=True)]


def valid_name(label: str) -> str:
    """The label with letters, digits, `.`, `_` and `-` only; "source" if nothing is left."""
    ascii_label = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", ascii_label).strip("-._")[:MAX_NAME].strip("-._") or "source"


def _address_source(argument: str) -> tuple[str, RecipeSource]:
    """A label, and the source of an address on the hub or in a store."""
    if match := _HUB_DATASET.fullmatch(argument):
        dataset, revision, config = match.groups()
        return dataset.split("/")[1], RecipeSource("", dataset=dataset, revision=revision, config=config)
    if argument.startswith(f"{HUB}datasets/"):
        source = split_hub_addresses(RecipeSource(valid_name(argument), files=(argument,)))
        return str(source.dataset).rpartition("/")[2], source
    if argument.startswith(HUB):
        raise UsageError(
            f"{argument}: expected hf://owner/name, hf://owner/name/config or hf://datasets/owner/name/path/*.parquet"
        )
    parts = [part for part in argument.partition("://")[2].split("/") if part]
    plain = [_split_name(part)[0] for part in parts if not set("*?[{") & set(part)]
    return next((part for part in reversed(plain) if part not in _GENERIC), "source"), RecipeSource(
        "", files=(argument,)
    )


def _local_files(argument: str) -> list[str]:
    if not os.path.lexists(os.path.expanduser(argument)) and not set("*?[{") & set(argument):
        raise UsageError(
            f"{argument}: no such file or folder; expected files, folders, quoted globs, or hf://owner/name"
        )
    return _files_below(argument) or local_files(RecipeSource(valid_name(argument), files=(argument,)), Path())


def _files_below(folder: str) -> list[str]:
    """All files below a folder that are data, of whatever kinds; none for what is no folder.

    Text files beside tables are left out, because they may only describe them, and so is what cannot be read; a warning
    names them. (As one source, a folder must be of one kind.)
    """
    matches = sorted(match for match in find_matches("**", folder) if is_data(match, "**")) if folder else []
    paths = [os.path.normpath(os.path.join(os.path.abspath(folder), match)) for match in matches]
    paths = [path for path in paths if os.path.isfile(path) and os.path.basename(path) not in _SAVED]
    tables = {os.path.dirname(path) for path in paths if format_of(path) not in (None, TXT)}
    kinds = {path: format_of(path) for path in paths}
    data = [path for path, kind in kinds.items() if kind and (kind != TXT or os.path.dirname(path) not in tables)]
    others = [os.path.basename(path) for path in sorted(kinds.keys() - set(data))]
    if data and others:
        named = ", ".join(others[:3]) + (f" and {len(others) - 3:,} more" if len(others) > 3 else "")
        log.warning("%s: %s are left out; to use text files beside tables, name them by a glob", folder, named)
    return data


def _groups(roots: dict[str, str]) -> list[Group]:
    """The files, divided into sources, in the order in which they were found."""
    families: dict[tuple[str, str | None, str], list[str]] = defaultdict(list)
    for path in roots:
        kind = format_of(path)
        stem = "" if kind == TXT else _split_name(os.path.basename(path))[0]
        families[os.path.dirname(path), kind, _NUMBERS.sub("#", stem)].append(path)
    counts = Counter((folder, kind) for folder, kind, _ in families)
    groups: dict[tuple[str, str | None, str], list[str]] = defaultdict(list)
    for (folder, kind, family), paths in families.items():
        groups[folder, kind, family if counts[folder, kind] <= MAX_FAMILIES else ""] += paths
    if len(groups) > MAX_GROUPS:
        groups.clear()
        for path, root in roots.items():
            groups[root, format_of(path), ""].append(path)
    return [(_label(folder, family, paths), paths) for (folder, _, family), paths in groups.items()]


def _label(folder: str, family: str, paths: Sequence[str]) -> str:
    """A name for a group: what its files' names have in common, or else the name of their folder."""
    texts = [text.strip("-_. ") for text in family.split("#")]
    common = next((text for text in texts if text.lower() not in {*_GENERIC, "of", "c"}), "")
    if not common:
        return _folder_label(folder) if len(paths) > 1 or family else _split_name(os.path.basename(paths[0]))[0]
    return common if len(paths) > 1 else _split_name(os.path.basename(paths[0]))[0]


def _folder_label(folder: str) -> str:
    """The name of the folder, or of the nearest one around it that says more than `data` or `train`."""
    names = [part for part in Path(folder).parts if part != os.sep]
    return next((name for name in reversed(names) if name.lower() not in _GENERIC), "source")


def _patterns(paths: Sequence[str], roots: dict[str, str], recipe_folder: Path) -> tuple[str, ...]:
    """The group's files as the recipe names them: a path, globs that match exactly these files, or all paths."""
    if len(paths) == 1:
        return (_relative(paths[0], recipe_folder),)
    folders = {os.path.dirname(path) for path in paths}
    if len(folders) == 1:
        folder = _relative(folders.pop(), recipe_folder)
        stems = {_NUMBERS.sub("*", _split_name(os.path.basename(path))[0]) for path in paths}
        starts = [f"{folder}/*", *(f"{folder}/{stem}" for stem in stems if len(stems) == 1)]
    else:
        starts = [f"{_relative(roots[paths[0]], recipe_folder)}/**/*"]
    suffixes = sorted({_split_name(path)[1] for path in paths})
    for start in starts:
        globs = tuple(f"{start.removeprefix('./')}{suffix}" for suffix in suffixes)
        if _matches(globs, recipe_folder) == set(paths):
            return globs
    return tuple(_relative(path, recipe_folder) for path in paths)


def _matches(globs: tuple[str, ...], recipe_folder: Path) -> set[str]:
    try:
        return set(local_files(RecipeSource("", files=globs), recipe_folder))
    except RecipeError:  # the folder's name has brackets in it, or the glob matches a file that cannot be read
        return set()


def _relative(path: str, recipe_folder: Path) -> str:
    return Path(os.path.relpath(path, recipe_folder)).as_posix()


def _split_name(name: str) -> tuple[str, str]:
    """A file's name without the suffixes that say its kind, and these: `web.v2` and `.jsonl.gz`."""
    stem = name
    for suffixes in (COMPRESSIONS, FORMATS):
        stem = stem[: -len(next((suffix for suffix in suffixes if stem.lower().endswith(suffix)), "")) or None]
    return stem, name[len(stem) :]


def _unique(labels: Iterable[str]) -> list[str]:
    """Valid names, each once: the second `web` becomes `web-2`. Names of files may not differ in case only."""
    names: list[str] = []
    for label in map(valid_name, labels):
        number, name = 1, label
        while name.lower() in {other.lower() for other in names}:
            number += 1
            name = f"{label}-{number}"
        names.append(name)
    return names

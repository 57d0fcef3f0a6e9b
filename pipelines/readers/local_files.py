"""The local files that `files =` names: globs, folders, and folders that `datasets.save_to_disk` wrote.

Nothing that a glob matches is left out without a word: a folder stands for the files in it, and a file that cannot be
read is an error that names it. Only the bookkeeping of Spark and of similar writers is skipped.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.readers.globs import expand_braces, find_matches, is_kernel_folder
from gpts_data.pipelines.readers.kinds import READABLE, TXT, format_of
from gpts_data.pipelines.readers.source import FileSet

log = logging.getLogger("gpts_data")
BOOKKEEPING = ("_SUCCESS", "_temporary", "_metadata", "_common_metadata", "_committed_*", "_started_*", "*.crc", ".*")
"""Names that writers of tables leave beside their data; also all hidden files."""
EXAMPLES = 3  # files named in a message
MAX_PATTERN = 200  # characters of a pattern in a message


def local_files(file_set: FileSet, folder: Path) -> list[str]:
    """The paths of the files that `files =` names, each once, in canonical order; relative globs start at `folder`.

    Raises `RecipeError` for a glob without a match, and for matches that cannot be read.
    """
    paths = (path for pattern in file_set.files for path in _match(file_set, pattern, folder.resolve()))
    return list(dict.fromkeys(paths))


def _match(file_set: FileSet, pattern: str, folder: Path) -> list[str]:
    """The files of one pattern. Links are not resolved: a hub cache's links lead to files without a suffix."""
    what = f"{file_set.kind} {file_set.name!r}: files = {pattern[:MAX_PATTERN]!r}"
    path = os.fsdecode(os.path.expanduser(pattern).encode())  # names of files are UTF-8, also in another locale
    _refuse_kernel_path(os.path.normpath(folder / path), what)
    if os.path.lexists(folder / path):  # a file's own name may have brackets in it
        _refuse_kernel_path(os.path.realpath(folder / path), what)
        return sorted(_files(os.path.normpath(folder / path), file_set.split, what))
    files: list[str] = []
    for option in expand_braces(path):
        found = [match for match in find_matches(option, str(folder)) if is_data(match, option)]
        matches = [os.path.normpath(folder / match) for match in found]
        _refuse_unreadable([match for match in matches if not os.path.isdir(match)], what)
        files += sorted({file for match in matches for file in _files(match, file_set.split, what)})
    if not files:
        raise RecipeError(
            f"{what} matches nothing under {folder}; expected a file, a folder or a glob such as text/*.parquet, "
            "relative to the recipe's folder"
        )
    return files


def _refuse_kernel_path(path: str, what: str) -> None:
    if is_kernel_folder(path):
        raise RecipeError(f"{what} names what the kernel shows of this machine; expected files of text")


def is_bookkeeping(name: str) -> bool:
    """Whether a file or folder of this name holds no data."""
    return any(fnmatchcase(name, pattern) for pattern in BOOKKEEPING)


def is_data(match: str, pattern: str) -> bool:
    """Whether a match of a glob is no bookkeeping and lies in none, unless the pattern names it."""
    *folders, name = Path(match).parts or (".",)
    *named, last = Path(pattern).parts or (".",)
    unnamed = [folder for folder in folders if not any(part.strip("*") and fnmatchcase(folder, part) for part in named)]
    return not any(map(is_bookkeeping, unnamed)) and (name == last or not is_bookkeeping(name))


def _files(path: str, split: str, what: str) -> list[str]:
    """The file itself, or all that can be read below a folder."""
    if not os.path.exists(path):
        raise RecipeError(f"{what}: {path} is a link to a file that does not exist; remove it or restore that file")
    if not os.path.isdir(path):
        if os.path.islink(path):
            _refuse_kernel_path(os.path.realpath(path), what)
        _refuse_unreadable([path], what)
        return [path]
    files = list(_walk(path, split, what, frozenset()))
    readable = [file for file in files if format_of(file)]
    others = [file for file in files if not format_of(file)]
    if not readable:
        found = f"only {_named(others)}" if others else "no files"
        raise RecipeError(f"{what}: the folder {path} holds {found}; {READABLE}")
    formats = {format_of(file) for file in readable}
    if TXT in formats and len(formats) > 1:
        texts = [file for file in readable if format_of(file) == TXT]
        tables = [file for file in readable if format_of(file) != TXT]
        raise RecipeError(
            f"{what}: the folder {path} holds tables ({_named(tables)}) and text files ({_named(texts)}), which may "
            f'only describe them; name one kind, such as files = "**/*{os.path.splitext(tables[0])[1]}"'
        )
    if others:
        log.warning("%s: cannot read %s in %s; they are left out", what, _named(others), path)
    return readable


def _walk(folder: str, split: str, what: str, parents: frozenset[str]) -> Iterator[str]:
    """The files below a folder, without bookkeeping. Links to folders are followed once."""
    real_folder = os.path.realpath(folder)
    if real_folder in parents:
        return
    _refuse_kernel_path(real_folder, what)
    try:
        names = sorted(name for name in os.listdir(folder) if not is_bookkeeping(name))
    except OSError as error:
        raise RecipeError(f"{what}: cannot list the folder {folder}: {error.strerror}") from error
    if "dataset_dict.json" in names:
        names = [_split_folder(folder, split, what)]
    elif "state.json" in names:
        names = _saved_files(folder, names)
    for path in (os.path.join(folder, name) for name in names):
        if not os.path.exists(path):
            raise RecipeError(f"{what}: {path} is missing, or a link to a file that does not exist; restore it")
        if os.path.isdir(path):
            yield from _walk(path, split, what, parents | {real_folder})
        else:
            if os.path.islink(path):
                _refuse_kernel_path(os.path.realpath(path), what)
            yield path


def _split_folder(folder: str, split: str, what: str) -> str:
    """The folder of one split, in the folder of a `DatasetDict` that `save_to_disk` wrote."""
    try:
        splits: list[str] = json.loads(Path(folder, "dataset_dict.json").read_bytes())["splits"]
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{what}: {folder}/dataset_dict.json is not one of save_to_disk; save it again") from error
    if split not in splits:
        raise RecipeError(f"{what}: {folder} has no split {split!r}; found {', '.join(splits)}: set split =")
    return split


def _saved_files(folder: str, names: list[str]) -> list[str]:
    """The data files of a `Dataset` that `save_to_disk` wrote; all names if state.json is of something else."""
    try:
        state = json.loads(Path(folder, "state.json").read_bytes())
        return [str(entry["filename"]) for entry in state["_data_files"]]
    except (ValueError, KeyError, TypeError):
        return names


def _refuse_unreadable(paths: Sequence[str], what: str) -> None:
    """Raise `RecipeError` when the kind of a file cannot be read."""
    if unreadable := [path for path in paths if os.path.exists(path) and not format_of(path)]:
        raise RecipeError(
            f"{what}: cannot read {_named(unreadable)}; {READABLE}. Convert the rest, or name the others by a glob"
        )
    if special := [path for path in paths if os.path.exists(path) and not os.path.isfile(path)]:
        raise RecipeError(f"{what}: {_named(special)} is no regular file; write its content to a file first")


def _named(paths: Sequence[str]) -> str:
    """The names of the first few files, and how many more there are."""
    names = [os.path.basename(path) for path in sorted(paths)[:EXAMPLES]]
    more = len(paths) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")

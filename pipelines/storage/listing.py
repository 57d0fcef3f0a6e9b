"""Listings of folders on disk and in object stores. A store may list late, so they never decide what is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gpts_data.pipelines.storage.paths import AnyPath, is_store, store_errors


def list_folder(folder: AnyPath) -> list[AnyPath]:
    """The files and folders in a folder, sorted by name. In a store, a folder that does not exist has none."""
    if not is_store(folder):
        return sorted(folder.iterdir(), key=lambda path: path.name)
    with store_errors(folder):
        try:
            paths: list[str] = folder.fs.ls(folder.path, detail=False)
        except FileNotFoundError:
            return []
    names = {path.rstrip("/").rpartition("/")[2] for path in paths if path.rstrip("/") != folder.path.rstrip("/")}
    return [folder / name for name in sorted(names)]


def list_files(folder: AnyPath) -> list[str]:
    """Names of all files below a folder, relative to it and sorted. A link to a folder is listed, not followed."""
    if not is_store(folder):
        return sorted(_walk(folder))
    with store_errors(folder):
        root = folder.path.rstrip("/")
        names: list[str] = folder.fs.find(root)
    return sorted(name.removeprefix(root).lstrip("/") for name in names)


def _walk(folder: Path) -> Iterator[str]:
    folders = [""]
    while folders:
        prefix = folders.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{prefix}{entry.name}/")
                else:
                    yield prefix + entry.name

"""Disk space below a path: how much is free, how much a folder uses, and whether files can be written there."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def existing(path: Path) -> Path:
    """`path` itself, or its nearest parent that exists."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def free_bytes(path: Path) -> int:
    """Bytes that this user can still write on the disk where `path` is or would be."""
    return shutil.disk_usage(existing(path)).free


def used_bytes(folder: Path) -> int:
    """Sum of the sizes of the files below `folder`; files that disappear during the walk are not counted."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_size
    return total


def refuses(path: Path) -> str | None:
    """The reason why no file can be written at `path`; None when one can. Tried with a file that has no name."""
    try:
        with tempfile.TemporaryFile(dir=existing(path)) as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None

"""The disk below a path: what is free, what a folder takes, whether anything can be written there."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


def existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that can be seen."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if os.path.exists(place))


def free_bytes(path: Path) -> int:
    """Free for this user on the disk where `path` is or would be."""
    return shutil.disk_usage(existing(path)).free


def used_bytes(folder: Path) -> int:
    """What the files below `folder` take, as their sizes say; those that vanish meanwhile count as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def refuses(path: Path) -> str | None:
    """Why nothing can be made at `path`; None when it can. Tried with a file without a name, which leaves no trace."""
    try:
        with tempfile.TemporaryFile(dir=existing(path)) as file:
            file.write(b"\0")
            file.flush()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None

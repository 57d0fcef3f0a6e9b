"""What can be wrong with a file of a mix before a byte of it is read: it is missing, a pipe, or outside of the mix.

A mix may come from a stranger, who can put symbolic links, pipes and devices into it. A link out of the mix would show
the user's own files, or share them in an export; opening a pipe waits for ever.
"""

from __future__ import annotations

import errno
import stat
from pathlib import Path

from gpts_data.mixer.format.manifest_types import FileEntry
from gpts_data.pipelines.storage.paths import AnyPath, is_store, store_errors


def file_problem(folder: AnyPath, entry: FileEntry) -> str | None:
    """What is wrong with a file that the manifest lists: None for a regular file inside of the mix, of its size."""
    path = folder / entry["file"]
    try:
        with store_errors(path):
            size = size_inside(path, folder)
    except (FileNotFoundError, NotADirectoryError):
        return f"missing, expected {entry['bytes']:,} bytes"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except OutsideError as error:
        return str(error)
    return None if size == entry["bytes"] else f"{size:,} bytes, expected {entry['bytes']:,}"


class OutsideError(Exception):
    """A file is not a regular file inside of the mix."""


def size_inside(path: AnyPath, folder: AnyPath) -> int:
    """The size of a regular file in a mix. Raises `OutsideError` for a link out of it, a circle of links or a pipe."""
    if is_store(path) or is_store(folder):
        return int(path.stat().st_size)
    try:
        real, root = path.resolve(strict=True), folder.resolve()
    except RuntimeError as error:  # so Python 3.11 and 3.12 say it
        raise OutsideError("a circle of links") from error
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OutsideError("a circle of links") from error
    if not real.is_relative_to(root) and not _is_in_hub_cache(real, root):
        raise OutsideError(f"a link out of the mix, to {real}; expected a file inside of it")
    status = real.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OutsideError("not a regular file")
    return status.st_size


def _is_in_hub_cache(real: Path, root: Path) -> bool:
    """Whether `root` is a snapshot in the cache of huggingface_hub; its files are links to REPOSITORY/blobs/DIGEST."""
    return root.parent.name == "snapshots" and real.parent == root.parent.parent / "blobs"

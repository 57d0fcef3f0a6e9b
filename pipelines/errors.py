"""The errors that this package raises on purpose, and the exit code that each becomes at the command line.

    GptsDataError                 1   failure
    ├── UsageError                2   a command or recipe that is wrong
    │   ├── RecipeError           2   a wrong value in the recipe, or something that it names does not exist
    │   └── ForeignFolderError    2   the output folder holds something else
    ├── DataError                 3   the data are damaged, or not as the recipe describes them
    │   └── ShortSourceError      3   a source has fewer tokens than its share of the mix
    ├── SourceUnavailableError    4   resumable: the hub or a file cannot be read now
    ├── StorageError              5   resumable: the disk is full, or permission is missing
    ├── VerificationError         6   a mix differs from its manifest
    └── LockedError              11   another build holds the folder

A message says what failed and where, what was found and what was expected, and what to type next.
"""

from __future__ import annotations

import errno
import re

_SECRETS = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_***"),
    (re.compile(r"(?i)\bbearer\s+\S+"), "Bearer ***"),
    (re.compile(r"(https?://)[^/\s@]+@"), r"\1***@"),
    (re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+"), r"\1?***"),
)

_NO_MEMORY = (  # parts of messages of libraries that have no class of their own for it
    "can't start new thread",  # Python: the stack of a thread needs memory, or the user may start no more
    "failed to launch worker thread",  # Arrow, for the same reasons
    "resource temporarily unavailable",  # a new process or thread
    "cannot allocate memory",
    "failed to map segment from shared object",  # the loader, while a library is imported
    "threadpoolbuilderror",  # rayon, in tokenizers
    "out of memory",
    "not enough memory",  # zstd
)


def redact(text: str) -> str:
    """`text` with access tokens, passwords in URLs, and query strings of URLs, which may sign downloads, masked."""
    for pattern, mask in _SECRETS:
        text = pattern.sub(mask, text)
    return text


class GptsDataError(Exception):
    """Base class of all errors above. `exit_code` is the exit status of the command line."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(redact(message))


class UsageError(GptsDataError):
    exit_code = 2


class RecipeError(UsageError):
    pass


class ForeignFolderError(UsageError):
    pass


class DataError(GptsDataError):
    exit_code = 3


class ShortSourceError(DataError):
    pass


class SourceUnavailableError(GptsDataError):
    """A failure that may pass. `retry_after`: seconds that the server asks to wait; None when it does not say."""

    exit_code = 4
    retry_after: float | None = None


class StorageError(GptsDataError):
    exit_code = 5


class VerificationError(GptsDataError):
    exit_code = 6


class LockedError(GptsDataError):
    exit_code = 11


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or the one that it was raised from, says that the machine, a container or `ulimit` had
    no memory or no thread left."""
    chain = [error, error.__cause__, error.__context__]
    return any(link is not None and _is_one(link) for link in chain)


def out_of_memory_message(error: BaseException) -> str:
    """The message for the command line."""
    what = str(error).partition("\n")[0] or type(error).__name__
    return (
        f"not enough memory or threads ({what}); use fewer --workers, close other programs, or raise the limit of this "
        "shell or container (ulimit -v, ulimit -u), then run the same command again; finished work is kept. `gpts-data "
        "plan` estimates the memory of a build"
    )


def _is_one(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    is_own = isinstance(error, GptsDataError)  # which may quote such a message
    return not is_own and any(phrase in str(error).lower() for phrase in _NO_MEMORY)

"""Every error this package raises on purpose, and the exit code it becomes at the command line.

    GptsDataError                 1   failure
    ├── UsageError                2   a command or recipe that cannot be meant
    │   ├── RecipeError           2   names the key, what was found, what was expected
    │   └── ForeignFolderError    2   the output folder holds something else
    ├── DataError                 3   the data were refused: damaged, not as described
    │   └── ShortSourceError      3   a source holds fewer tokens than its share
    ├── SourceUnavailableError    4   resumable: the hub or a file cannot be reached now
    ├── StorageError              5   resumable: disk full, no permission
    ├── VerificationError         6   a mix is not what its manifest says
    └── LockedError              11   another build holds the folder

Wording: what failed and where; found against expected; what to type next.
"""

from __future__ import annotations

import re

_SECRETS = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_***"),
    (re.compile(r"(?i)\bbearer\s+\S+"), "Bearer ***"),
    (re.compile(r"(https?://)[^/\s@]+@"), r"\1***@"),
    (re.compile(r"(https?://[^\s?'\"]+)\?[^\s'\"]+"), r"\1?***"),
)


def redact(text: str) -> str:
    """`text` without access tokens, passwords in addresses and queries of addresses, which sign downloads."""
    for pattern, mask in _SECRETS:
        text = pattern.sub(mask, text)
    return text


class GptsDataError(Exception):
    """Base of the tree. `exit_code` is the process status the command line ends with."""

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
    """Worth asking again, after `retry_after` seconds where the server said so."""

    exit_code = 4
    retry_after: float | None = None


class StorageError(GptsDataError):
    exit_code = 5


class VerificationError(GptsDataError):
    exit_code = 6


class LockedError(GptsDataError):
    exit_code = 11

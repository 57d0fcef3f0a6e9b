"""The attempts that are made at a request to a store which fails for a reason that may pass."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager

ATTEMPTS = 5  # in addition, the store's client retries each request by itself
LONGEST_WAIT = 20.0  # seconds between two attempts


def attempts() -> Iterator[AbstractContextManager[None]]:
    """Contexts for a request: `for attempt in attempts(): with attempt: ...` ends with the first that succeeds.

    Raises the error of the last one, and at once one that another attempt would not change.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

    yield from Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_random_exponential(max=LONGEST_WAIT),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )


def _may_pass(error: BaseException) -> bool:
    """Not: no permission, no bucket, a condition of the request that is not met (EINVAL of s3fs), Ctrl-C."""
    if isinstance(error, OSError) and error.errno == errno.EINVAL:
        return False
    permanent = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotImplementedError)
    return isinstance(error, Exception) and not isinstance(error, permanent)

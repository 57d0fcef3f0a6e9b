"""Retries of failed requests: how often, with which pauses, and when to give up.

The hub client itself tries most requests six times within half a minute and some only once, but an outage can last
longer. `retry` wraps whatever the client gives up on.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_before_delay, wait_exponential_jitter

from gpts_data.pipelines.errors import SourceUnavailableError

log = logging.getLogger("gpts_data")
QUIET_SECONDS = 2.0  # a shorter pause is not logged

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """When to try again, and when to give up. All values are in seconds, except `min_bytes_per_second`.

    budget: how long requests may fail one after the other before a build ends with exit code 4. stall_timeout: how
    long fewer than `min_bytes_per_second` may arrive on average before the worker process is killed. first_wait,
    longest_wait: pauses double from the first to the longest, with jitter; a server's Retry-After replaces them.
    """

    budget: float = 3600.0
    stall_timeout: float = 60.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    min_bytes_per_second: int = 1024

    @classmethod
    def lasting(cls, seconds: float) -> RetryPolicy:
        """The policy that gives up after `seconds` of failures."""
        return cls(seconds, stall_timeout=min(seconds, cls.stall_timeout))


def retry(retry_policy: RetryPolicy, call: Callable[[], Answer]) -> Answer:
    """Call until it succeeds; returns its result. Raises its last `SourceUnavailableError` when the budget is spent."""
    retrying = Retrying(
        retry=retry_if_exception_type(SourceUnavailableError),
        wait=_wait(retry_policy),
        stop=stop_before_delay(retry_policy.budget),
        before_sleep=_log_pause,
        reraise=True,
    )
    try:
        return retrying(call)
    except SourceUnavailableError as error:
        retry_after, budget = error.retry_after, retry_policy.budget
        reason = (
            f"the server asks to wait {_minutes(retry_after)}, --retry-for allows {_minutes(budget)}"
            if retry_after and retry_after > budget
            else f"gave up after {_minutes(budget)}"
        )
        raise SourceUnavailableError(
            f"{error}; {reason}. Finished work is kept: run the same command again when the source is available"
        ) from None


def _wait(retry_policy: RetryPolicy) -> Callable[[RetryCallState], float]:
    doubling = wait_exponential_jitter(
        multiplier=retry_policy.first_wait, max=retry_policy.longest_wait, jitter=retry_policy.first_wait
    )

    def wait(state: RetryCallState) -> float:
        retry_after = getattr(_error(state), "retry_after", None)
        if retry_after is None:
            return doubling(state)
        return float(retry_after) + random.uniform(0, retry_policy.first_wait)  # or all workers return in one second

    return wait


def _log_pause(state: RetryCallState) -> None:
    if state.upcoming_sleep >= QUIET_SECONDS:
        log.warning(
            "%s; trying again in %.0f s (attempt %d)", _error(state), state.upcoming_sleep, state.attempt_number
        )


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"

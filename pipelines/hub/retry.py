"""Retries: how long a source that does not answer is asked again before the build gives up, resumable.

The hub client tries a request six times within half a minute, and some calls not twice; an outage lasts longer. This
goes around everything it gives up on.
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
QUIET_SECONDS = 2.0  # a shorter wait needs no word

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class RetryPolicy:
    """When to try again, and when to give up. All in seconds, except `min_bytes_per_second`.

    `budget`: how long requests may fail one after the other before a build ends with exit code 4. `stall_timeout`: how
    long fewer bytes than `min_bytes_per_second` may arrive before the reading process is killed. Waits double from
    `first_wait` to `longest_wait`, with jitter; a server's Retry-After is obeyed instead.
    """

    budget: float = 3600.0
    stall_timeout: float = 60.0
    first_wait: float = 1.0
    longest_wait: float = 60.0
    min_bytes_per_second: int = 1024

    @classmethod
    def lasting(cls, seconds: float) -> RetryPolicy:
        """The policy that gives up after `seconds` of failure."""
        return cls(seconds, stall_timeout=min(seconds, cls.stall_timeout))


def retry(retry_policy: RetryPolicy, call: Callable[[], Answer]) -> Answer:
    """What `call` returns in the end. Raises its last `SourceUnavailableError` when the budget is spent."""
    retrying = Retrying(
        retry=retry_if_exception_type(SourceUnavailableError),
        wait=_wait(retry_policy),
        stop=stop_before_delay(retry_policy.budget),
        before_sleep=_say,
        reraise=True,
    )
    try:
        return retrying(call)
    except SourceUnavailableError as error:
        told = error.retry_after
        why = (
            f"told to wait {_minutes(told)}, patience is {_minutes(retry_policy.budget)}"
            if told and told > retry_policy.budget
            else f"gave up after {_minutes(retry_policy.budget)}"
        )
        raise SourceUnavailableError(
            f"{error}; {why}. Finished work is kept: run the same command again when it is back"
        ) from None


def _wait(retry_policy: RetryPolicy) -> Callable[[RetryCallState], float]:
    growing = wait_exponential_jitter(
        multiplier=retry_policy.first_wait, max=retry_policy.longest_wait, jitter=retry_policy.first_wait
    )

    def wait(state: RetryCallState) -> float:
        told = getattr(_error(state), "retry_after", None)
        if told is None:
            return growing(state)
        return float(told) + random.uniform(0, retry_policy.first_wait)  # many workers are told the same second

    return wait


def _say(state: RetryCallState) -> None:
    if state.upcoming_sleep >= QUIET_SECONDS:
        log.warning(
            "%s; trying again in %.0f s (attempt %d)", _error(state), state.upcoming_sleep, state.attempt_number
        )


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"

"""Which sources lose much of their text to one reason: a rule that does not fit a source shows there first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON, OVER_BUDGET_REASON
from gpts_data.mixer.stages.exclude import EXCLUDED_REASONS
from gpts_data.pipelines.dedup.signatures import REASONS

LARGE_LOSS = 0.3
"""A source is named when one reason drops more than this share of its documents."""


def large_losses(read: int, dropped: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    """Yield each reason that drops more than LARGE_LOSS of a source's documents, and the share that it drops.

    read: documents read. dropped: documents dropped by reason. Documents over the budget are compared with no others,
    so the shares of duplicates and of contaminated documents leave them out. What `[exclude]` drops is meant to go.
    """
    within_budget = read - dropped.get(OVER_BUDGET_REASON, 0)
    for reason, count in dropped.items():
        judged = within_budget if reason in (*REASONS, CONTAMINATED_REASON) else read
        if reason not in (OVER_BUDGET_REASON, *EXCLUDED_REASONS) and count > LARGE_LOSS * judged and judged > 0:
            yield reason, count / judged


def describe_loss(source: str, reason: str, share: float) -> str:
    """One sentence on a large loss."""
    return f"{source}: {reason} drops {share:.0%} of its documents; docs/cleaning.md names the key to change"

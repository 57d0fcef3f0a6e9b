"""Which sources lose much of their text to one reason: a rule that does not fit a source shows there first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gpts_data.mixer.stages.dedup import CONTAMINATED_REASON, OVER_BUDGET_REASON
from gpts_data.mixer.stages.exclude import EXCLUDED_REASONS
from gpts_data.pipelines.dedup.signatures import REASONS
from gpts_data.pipelines.filters.cleaner import CleanConfig
from gpts_data.pipelines.filters.measure import measure

ANY_TEXT = "word " * 20  # `measure` gives the key of a rule together with a value, and needs a text for that
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


def first_advice(read: int, dropped: Mapping[str, int], clean: CleanConfig) -> str:
    """Return what to look at first when a source is too short: its largest loss, with the recipe's key for it.

    Returns "" for a source without a large loss.
    """
    reason, share = max(large_losses(read, dropped), key=lambda loss: loss[1], default=("", 0.0))
    if not reason:
        return ""
    rule = measure(ANY_TEXT, clean, reason)
    key = f"{rule.key} (now {rule.threshold:g}) in its [source.clean]" if rule else "its key in docs/cleaning.md"
    return f"{reason} drops {share:.0%} of its documents: look at {key} first"

"""The evidence of a search in sentences, for the terminal, the proposed recipe and the page."""

from __future__ import annotations

import numpy as np

from gpts_data.pipelines.text.control_characters import escape_line
from gpts_data.validation.search.result import SearchResult


def describe_tokens(tokens: int) -> str:
    """A number of tokens as people write it: 128M, 25B, 1,500."""
    for factor, unit in ((10**9, "B"), (10**6, "M")):
        if tokens >= factor:
            return f"{tokens / factor:.3g}{unit}"
    return f"{tokens:,}"


def verdict_sentence(result: SearchResult) -> str:
    """Return one sentence that says what to do."""
    if not result.accepted:
        return "The recipe's weights stay."
    return "The proposed weights are expected to be better than the recipe's."


def describe_runs(result: SearchResult) -> str:
    """Return a sentence on what was trained and measured."""
    searched = result.measurements
    targets = ", ".join(
        escape_line(name) if len(set(searched.importance)) == 1 else f"{escape_line(name)} (weight {importance:g})"
        for name, importance in zip(searched.targets, searched.importance, strict=True)
    )
    return (
        f"{len(searched.runs)} proxy runs of {describe_tokens(searched.parameters)} parameters and "
        f"{describe_tokens(searched.horizons[-1])} tokens each; target{'s' * (len(searched.targets) > 1)}: {targets}."
    )


def describe_prediction(result: SearchResult) -> str:
    """Return a sentence on what the law predicts, against the noise of the seeds."""
    proposal, verdict = result.proposal, result.proposal.verdict
    noise = "" if not verdict.noise else f", {verdict.gain / verdict.noise:.1f} standard deviations of the seeds"
    best = "the proposed ones" if result.accepted else "the best ones by the law"
    return (
        f"Predicted: {proposal.recipe_loss:.4f} bits per byte with the recipe's weights, {proposal.proposed_loss:.4f} "
        f"with {best}; a gain of {verdict.gain:.4f}{noise}."
    )


def describe_check(result: SearchResult) -> str:
    """Return a sentence on how well the law predicts mixtures that it was not fitted to."""
    check = result.proposal.mean_check
    open_ones = int((~check.is_determined).sum())
    if open_ones:
        return (
            f"Leave-one-out: rank correlation {check.rank_correlation:.2f}; for {open_ones} of {len(check.mixtures)} "
            "mixtures the law is not determined by the runs of the others."
        )
    return (
        f"Leave-one-out: rank correlation {check.rank_correlation:.2f}, error {check.error:.4f} bits per byte over "
        f"{len(check.mixtures)} mixtures."
    )


def describe_horizons(result: SearchResult) -> str:
    """Return a sentence on how far the best weights moved between the last two horizons."""
    horizons, proposals = result.measurements.horizons, result.proposals
    if len(proposals) < 2:
        return ""
    moved = float(np.abs(proposals[-1].weights - proposals[-2].weights).sum() / 2)
    return (
        f"From {describe_tokens(horizons[-2])} to {describe_tokens(horizons[-1])} tokens per run, {moved:.1%} of the "
        f"best mixture moved from some sources to others."
    )


def describe_confirmation(result: SearchResult) -> str:
    """Return a sentence on what the longer runs showed. A proposal that was refused before them is not confirmed."""
    confirmation = result.confirmation
    if confirmation is None:
        return "Not confirmed by longer runs (--confirm)." if result.accepted else ""
    outcome = "Confirmed" if confirmation.confirmed else "Not confirmed"
    chance = "p < 0.001" if confirmation.p_value < 0.001 else f"p = {confirmation.p_value:.3f}"
    return (
        f"{outcome} by {len(confirmation.gains)} pairs of runs of {describe_tokens(confirmation.tokens)} tokens with "
        f"equal seeds: a gain of {confirmation.gain:.4f} bits per byte, {chance}."
    )


def evidence(result: SearchResult) -> list[str]:
    """All sentences, without the verdict and its reasons."""
    sentences = [
        describe_runs(result),
        describe_prediction(result),
        describe_check(result),
        describe_horizons(result),
        describe_confirmation(result),
    ]
    return [sentence for sentence in sentences if sentence]

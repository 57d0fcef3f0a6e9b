"""The content of law.json: the laws, the proposed weights, and the evidence for them."""

from __future__ import annotations

from typing import Any

from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.confirm import Confirmation
from gpts_data.validation.search.law import CrossValidation, Law
from gpts_data.validation.search.proposal import Proposal
from gpts_data.validation.search.result import Measurements, SearchResult


def law_content(result: SearchResult) -> dict[str, Any]:
    """The result as JSON values. Losses are in bits per byte, weights sum to 1."""
    searched, proposal = result.measurements, result.proposal
    content = {
        "law": "bits per byte = c + exp(b + sum of t x weight)",
        "tokens": searched.tokens,
        "parameters": searched.parameters,
        "runs": len(searched.runs),
        "sources": {
            name: {"supply_tokens": supply, "largest_weight": cap}
            for name, supply, cap in zip(searched.sources, searched.supply, searched.caps.tolist(), strict=True)
        },
        "targets": {
            name: {"importance": importance, **_law(searched.sources, law), **_check(check)}
            for name, importance, law, check in zip(
                searched.targets, searched.importance, proposal.laws, proposal.checks, strict=True
            )
        },
        "recipe": _by_source(searched, searched.recipe),
        **_proposal(searched, proposal),
        "horizons": [
            {"tokens": tokens, **_proposal(searched, earlier)}
            for tokens, earlier in zip(searched.horizons, result.proposals, strict=True)
        ],
        "accepted": result.accepted,
        "reasons": list(result.reasons),
    }
    if result.confirmation:
        content["confirmation"] = _confirmation(searched, result.confirmation)
    return content


def _proposal(searched: Measurements, proposal: Proposal) -> dict[str, Any]:
    return {
        "proposed": _by_source(searched, proposal.weights),
        "predicted": {
            "recipe": proposal.recipe_loss,
            "proposed": proposal.proposed_loss,
            "gain": proposal.verdict.gain,
            "noise": proposal.verdict.noise,
        },
        **_check(proposal.mean_check),
        "accepted": proposal.verdict.accepted,
    }


def _by_source(searched: Measurements, weights: Floats) -> dict[str, float]:
    return dict(zip(searched.sources, weights.tolist(), strict=True))


def _law(sources: tuple[str, ...], law: Law) -> dict[str, Any]:
    return {"c": law.c, "b": law.b, "t": dict(zip(sources, law.t, strict=True))}


def _check(check: CrossValidation) -> dict[str, float]:
    return {"leave_one_out_rank_correlation": check.rank_correlation, "leave_one_out_error": check.error}


def _confirmation(searched: Measurements, confirmation: Confirmation) -> dict[str, Any]:
    recipe, proposed = confirmation.recipe_losses.mean(axis=0), confirmation.proposed_losses.mean(axis=0)
    return {
        "tokens": confirmation.tokens,
        "targets": {
            name: {"recipe": before, "proposed": after}
            for name, before, after in zip(searched.targets, recipe.tolist(), proposed.tolist(), strict=True)
        },
        "gain": confirmation.gain,
        "gains": confirmation.gains.tolist(),
        "p_value": confirmation.p_value,
        "confirmed": confirmation.confirmed,
    }

"""What a mix says of benchmarks: how much of each was looked for, and which documents were dropped for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from gpts_data.mixer.plan import Plan, listing_facts
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.prepare import unit_batches
from gpts_data.pipelines.decontaminate.index import index, origins, owners
from gpts_data.pipelines.dedup.greedy import EXCLUDED

NAMED = 20  # contaminated documents in the manifest


def index_benchmarks(plan: Plan) -> dict[str, Any]:
    """The benchmarks' n-grams, for PREPARE; nothing for a recipe without. Raises as `decontaminate.index` does."""
    if plan.recipe.decontaminate is None or plan.index is None:
        return {}
    return index(plan.recipe.decontaminate, plan.benchmarks, plan.index, plan.index_key(), plan.fetch_options)


def contamination(plan: Plan, decided: Sequence[Sequence[DedupedUnit]]) -> dict[str, Any]:
    """The manifest's `decontamination`; nothing for a recipe without benchmarks.

    A document counts once, for the benchmark of the n-gram that condemned it: the first in its text.
    """
    wanted, folder = plan.recipe.decontaminate, plan.index
    if wanted is None or folder is None:
        return {}
    owner = owners(folder)
    counts = [
        np.bincount(
            owner[np.concatenate([unit.matched_ngrams for unit in units])], minlength=len(wanted.benchmark)
        ).tolist()
        for units in decided
    ]
    facts = index_benchmarks(plan)
    benchmarks = {
        benchmark.name: {
            **facts[benchmark.name],
            **listing_facts(plan.benchmarks[i]),
            "contaminated": {name: counts[j][i] for j, name in enumerate(plan.recipe.names)},
        }
        for i, benchmark in enumerate(wanted.benchmark)
    }
    named = list(islice(_named(plan, decided), NAMED))
    found = origins(wanted, folder, [ngram for _, ngram in named])
    documents = [{**document, **vars(origin)} for (document, _), origin in zip(named, found, strict=True)]
    return {"decontamination": {"benchmarks": benchmarks, "documents": documents}}


def _named(plan: Plan, decided: Sequence[Sequence[DedupedUnit]]) -> Iterator[tuple[dict[str, str], int]]:
    """Contaminated documents in canonical order, each with the n-gram that condemned it."""
    for source, units in zip(plan.recipe.names, decided, strict=True):
        for unit in (unit for unit in units if len(unit.matched_ngrams)):
            ids = [id for batch in unit_batches(unit.path, ("id",)) for id in batch.column("id").to_pylist()]
            rows = np.flatnonzero(unit.codes == EXCLUDED)
            for row, ngram in zip(rows.tolist(), unit.matched_ngrams.tolist(), strict=True):
                yield {"source": source, "unit": unit.name, "document": ids[row]}, ngram

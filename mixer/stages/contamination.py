"""Benchmark contamination: index the benchmarks before PREPARE; report the documents dropped for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from gpts_data.mixer.format.manifest_types import BenchmarkEntry, ContaminatedDocument, DecontaminationEntry
from gpts_data.mixer.plan import Plan, listing_entry
from gpts_data.mixer.stages.dedup import DedupedUnit
from gpts_data.mixer.stages.unit_file import unit_batches
from gpts_data.pipelines.decontaminate.index import RECEIPT, IndexReceipt, benchmark_numbers, build_index, origins
from gpts_data.pipelines.dedup.greedy import CONTAMINATED
from gpts_data.pipelines.storage.receipts import require_receipt

MAX_NAMED = 20  # contaminated documents that the manifest lists


def index_benchmarks(plan: Plan) -> None:
    """Write the n-grams of the recipe's benchmarks, if it has any. Raises as `decontaminate.index.index` does."""
    if plan.recipe.decontaminate is not None and plan.index is not None:
        build_index(plan.recipe.decontaminate, plan.benchmarks, plan.index, plan.index_key(), plan.fetch_options)


def contamination(plan: Plan, deduped: Sequence[Sequence[DedupedUnit]]) -> DecontaminationEntry | None:
    """The manifest's `decontamination`; None for a recipe without benchmarks.

    A document counts once, for the benchmark that owns the n-gram it was dropped for: the first one in its text.
    """
    config, folder = plan.recipe.decontaminate, plan.index
    if config is None or folder is None:
        return None
    owner = benchmark_numbers(folder)
    counts = [
        np.bincount(
            owner[np.concatenate([unit.matched_ngrams for unit in units])], minlength=len(config.benchmark)
        ).tolist()
        for units in deduped
    ]
    indexed = require_receipt(folder / RECEIPT, plan.index_key(), IndexReceipt)["benchmarks"]
    benchmarks: dict[str, BenchmarkEntry] = {
        benchmark.name: {
            **indexed[benchmark.name],
            **listing_entry(plan.benchmarks[i]),
            "contaminated": {name: counts[j][i] for j, name in enumerate(plan.recipe.names)},
        }
        for i, benchmark in enumerate(config.benchmark)
    }
    first = list(islice(_contaminated(plan, deduped), MAX_NAMED))
    ngram_origins = origins(config, folder, [ngram for _, _, _, ngram in first])
    documents: list[ContaminatedDocument] = [
        {
            "source": source,
            "unit": unit,
            "document": document,
            "benchmark": origin.benchmark,
            "item": origin.item,
            "ngram": origin.ngram,
        }
        for (source, unit, document, _), origin in zip(first, ngram_origins, strict=True)
    ]
    return {"benchmarks": benchmarks, "documents": documents}


def _contaminated(plan: Plan, deduped: Sequence[Sequence[DedupedUnit]]) -> Iterator[tuple[str, str, str, int]]:
    """Source, unit, document id and n-gram of each contaminated document, in canonical order."""
    for source, units in zip(plan.recipe.names, deduped, strict=True):
        for unit in (unit for unit in units if len(unit.matched_ngrams)):
            ids = [id for batch in unit_batches(unit.path, ("id",)) for id in batch.column("id").to_pylist()]
            rows = np.flatnonzero(unit.codes == CONTAMINATED)
            for row, ngram in zip(rows.tolist(), unit.matched_ngrams.tolist(), strict=True):
                yield source, unit.name, ids[row], ngram

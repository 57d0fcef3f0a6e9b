"""The files of a search: `ratios.csv` and `metrics.csv`, which `olmix fit` reads, and `law.json`.

Both CSV files have one row per run and the columns run, name and index. `ratios.csv` has a column of weights per
source, `metrics.csv` a column of losses per target. olmix joins them by `run` and takes every other column as data.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.atomic_files import write_bytes, write_json
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.design import ProxyRun
from gpts_data.validation.search.proposal import Proposal

RESERVED = ("run", "run_id", "name", "index")
"""Columns that olmix does not take as data, beside those that begin with "Unnamed"."""


def check_column_names(names: Sequence[str]) -> None:
    """Raise `UsageError` for a source or target whose column olmix would overlook."""
    for name in names:
        if name in RESERVED or name.startswith("Unnamed"):
            raise UsageError(
                f"{name!r} cannot be the name of a source or target of a search: in ratios.csv and metrics.csv it has "
                f"another meaning; choose another name"
            )


def write_ratios(path: AnyPath, sources: Sequence[str], runs: Sequence[ProxyRun]) -> None:
    """Write the weights of the runs, one column per source."""
    _write_csv(path, sources, runs, [run.weights for run in runs])


def write_metrics(path: AnyPath, targets: Sequence[str], runs: Sequence[ProxyRun], losses: Floats) -> None:
    """Write the losses of the runs, shape (runs, targets), one column per target."""
    _write_csv(path, targets, runs, losses.tolist())


def write_law(
    path: AnyPath, sources: Sequence[str], targets: Sequence[str], importance: Sequence[float], proposal: Proposal
) -> None:
    """Write law.json: for each target the law and how well it predicts, the proposed weights, and the verdict."""
    write_json(path, law_content(sources, targets, importance, proposal))


def law_content(
    sources: Sequence[str], targets: Sequence[str], importance: Sequence[float], proposal: Proposal
) -> dict[str, Any]:
    """The content of law.json. The lengths of `targets` and `importance` are that of `proposal.laws`."""
    rows = zip(targets, importance, proposal.laws, proposal.checks, strict=True)
    return {
        "law": "loss = c + exp(b + sum of t x weight)",
        "targets": {
            target: {
                "importance": weight,
                "c": law.c,
                "b": law.b,
                "t": dict(zip(sources, law.t, strict=True)),
                "leave_one_out_rank_correlation": check.rank_correlation,
                "leave_one_out_error": check.error,
            }
            for target, weight, law, check in rows
        },
        "proposed": dict(zip(sources, proposal.weights.tolist(), strict=True)),
        "predicted": {"recipe": proposal.recipe_loss, "proposed": proposal.proposed_loss},
        "verdict": {**asdict(proposal.verdict), "accepted": proposal.verdict.accepted},
    }


def _write_csv(
    path: AnyPath, columns: Sequence[str], runs: Sequence[ProxyRun], rows: Sequence[Sequence[float]]
) -> None:
    check_column_names(columns)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "name", "index", *columns])
    for i, (run, row) in enumerate(zip(runs, rows, strict=True)):
        writer.writerow([run.name, run.name, i, *map(repr, row)])
    write_bytes(path, text.getvalue().encode())

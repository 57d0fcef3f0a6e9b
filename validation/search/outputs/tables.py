"""The tables of a search, `ratios.csv` and `metrics.csv`, which `olmix fit` reads.

Both CSV files have one row per run and the columns run, name and index. `ratios.csv` has a column of weights per
source, `metrics.csv` a column of losses per target. olmix joins them by `run` and takes every other column as data.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from gpts_data.pipelines.errors import UsageError
from gpts_data.pipelines.storage.atomic_files import write_bytes
from gpts_data.pipelines.storage.paths import AnyPath
from gpts_data.validation.search.caps import Floats
from gpts_data.validation.search.design import ProxyRun

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

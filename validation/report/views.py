"""The figures of a report as plain values. The HTML page and the Markdown text show the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpts_data.mixer.stages.dedup import OVER_BUDGET_REASON
from gpts_data.pipelines.dedup.signatures import REASONS as DUPLICATE_REASONS
from gpts_data.validation.report.charts import colour
from gpts_data.validation.report.collect import Report
from gpts_data.validation.report.reasons import describe_reason

OUTCOMES = {"kept": 1.0, "exceeds the token budget": 0.6, "duplicate": 0.35, "removed by filters": 0.15}  # opacities


@dataclass(frozen=True)
class Outcome:
    """A part of a source's bar: how many of its documents were kept, or dropped for one kind of reason."""

    name: str
    opacity: float
    documents: int
    share: float


@dataclass(frozen=True)
class SourceView:
    """The figures of one source."""

    name: str
    colour: str
    target: float
    share: float
    windows: int
    tokens: int
    held_out_tokens: int
    documents: int
    epochs: float
    repeats: dict[str, int]
    """Distinct windows by how often they are in the training order."""
    read: int
    kept: int
    held_out: int
    dropped: dict[str, int]
    """Documents by reason."""
    lengths: NDArray[np.uint32]
    """Tokens of each document."""
    bytes_per_token: float
    revision: str | None
    files_read: int
    files_total: int
    origin: str
    """The hub dataset, or the recipe's `files`."""
    licenses: list[str]
    furthest: float
    """Its greatest distance from the target share in the training order, in windows."""

    @property
    def median_length(self) -> int:
        return int(np.median(self.lengths))

    @property
    def mean_length(self) -> int:
        return round(float(self.lengths.mean()))

    @property
    def outcomes(self) -> list[Outcome]:
        """Parts of the bar, in the order of OUTCOMES."""
        duplicates = sum(self.dropped.get(reason, 0) for reason in DUPLICATE_REASONS)
        over_budget = self.dropped.get(OVER_BUDGET_REASON, 0)
        filtered = sum(self.dropped.values()) - duplicates - over_budget
        counts = (self.kept, over_budget, duplicates, filtered)
        return [
            Outcome(name, opacity, count, count / max(self.read, 1))
            for (name, opacity), count in zip(OUTCOMES.items(), counts, strict=True)
        ]


@dataclass(frozen=True)
class Step:
    """A row of the waterfall: the documents that were read, dropped for one reason, or kept."""

    name: str
    reason: str
    """The reason; "" for the documents that were read and for those that were kept."""
    sentence: str
    """The reason in words, with its threshold."""
    documents: int
    share: float
    """Its share of the documents that were read, 0 to 1."""
    before: float
    """The share of those that are kept in the end or dropped by a later row."""
    parts: list[tuple[SourceView, int, float]]
    """Documents of each source, and their share of all documents that were read."""


def source_views(report: Report, summary: dict[str, Any]) -> list[SourceView]:
    """The sources in the order of the recipe. `summary` is what `validation.inspect.inspect` returns."""
    return [_source_view(report, summary, number) for number in range(len(report.mix.sources))]


def _source_view(report: Report, summary: dict[str, Any], number: int) -> SourceView:
    manifest, name = report.mix.manifest, report.mix.sources[number]
    counts, waterfall, entry = summary["sources"][name], summary["waterfall"][name], manifest["sources"][name]
    recipe: Mapping[str, Any] = manifest["recipe"]["source"][number]
    config = f" ({recipe['config']})" if recipe["config"] else ""
    return SourceView(
        name=name,
        colour=colour(number),
        target=counts["wanted"],
        share=counts["share"],
        windows=counts["windows"],
        tokens=counts["tokens"],
        held_out_tokens=counts["validation"]["tokens"],
        documents=counts["documents"],
        epochs=counts["epochs"],
        repeats=counts["repeats"],
        read=waterfall["read"],
        kept=waterfall["kept"],
        held_out=waterfall["validation"],
        dropped=waterfall["dropped"],
        lengths=report.document_lengths[number],
        bytes_per_token=report.bytes_per_token[number],
        revision=entry["revision"],
        files_read=counts["files_read"],
        files_total=counts["files_total"],
        origin=f"{recipe['dataset']}{config}" if recipe["dataset"] else ", ".join(recipe["files"]),
        licenses=list(recipe["license"]),
        furthest=report.bounds.greatest[number],
    )


def waterfall(report: Report, sources: list[SourceView]) -> list[Step]:
    """The documents that were read, those dropped for each reason, the most frequent first, and those kept."""
    left = sum(source.read for source in sources)
    counts = {"read": [source.read for source in sources]}
    steps = [_step(sources, "read", "", "", counts["read"], 0.0)]
    for reason in _reasons(sources):
        dropped = [source.dropped.get(reason, 0) for source in sources]
        left -= sum(dropped)
        steps.append(_step(sources, reason, reason, describe_reason(report.mix, reason), dropped, left))
    return [*steps, _step(sources, "kept", "", "", [source.kept for source in sources], 0.0)]


def _step(
    sources: list[SourceView], name: str, reason: str, sentence: str, documents: list[int], before: float
) -> Step:
    read = max(sum(source.read for source in sources), 1)
    parts = [(source, n, n / read) for source, n in zip(sources, documents, strict=True) if n]
    return Step(name, reason, sentence, sum(documents), sum(documents) / read, before / read, parts)


def _reasons(sources: list[SourceView]) -> list[str]:
    """All reasons for which documents were dropped, the most frequent first."""
    reasons = dict.fromkeys(reason for source in sources for reason in source.dropped)
    return sorted(reasons, key=lambda reason: -sum(source.dropped.get(reason, 0) for source in sources))

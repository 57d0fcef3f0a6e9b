"""The report as one HTML file, rendered from report.html.j2 with jinja2.

The file contains its style (report.css) and its charts and loads nothing. jinja2 escapes every value, since the texts
of documents may contain HTML; only the style and the charts, which are ours, are inserted as they are. Control
characters become visible escapes, and the page forbids scripts and everything from elsewhere.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from gpts_data.mixer.recipe_stages import cumulative_shares
from gpts_data.mixer.stages.dedup import OVER_BUDGET_REASON
from gpts_data.pipelines.dedup.signatures import REASONS as DUPLICATE_REASONS
from gpts_data.pipelines.text.control_characters import escape
from gpts_data.validation.inspect import inspect
from gpts_data.validation.report.charts import colour, draw_ahead, draw_lengths, draw_losses, draw_shares
from gpts_data.validation.report.collect import DroppedSample, Report

FOLDER = Path(__file__).parent
MAX_CHARACTERS = 1500  # of a dropped document's text
MAX_UNUSED = 60  # unused vocabulary entries that are listed
OUTCOMES = {"kept": 1.0, "exceeds the token budget": 0.6, "duplicate": 0.35, "removed by filters": 0.15}  # opacities

Words = list[tuple[str, bool]]  # pieces of a text, and whether the other text has something else there


@dataclass(frozen=True)
class Outcome:
    """A part of a source's bar: how many of its documents were kept, or dropped for one kind of reason."""

    name: str
    opacity: float
    documents: int
    share: float


@dataclass(frozen=True)
class SourceView:
    """What the page shows of one source."""

    name: str
    colour: str
    target: float
    share: float
    windows: int
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
    licences: list[str]

    def dropped_share(self, reason: str) -> float:
        return self.dropped.get(reason, 0) / max(self.read, 1)

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


def render_html(report: Report) -> str:
    """Render the report as one HTML page. The same mix and run always give the same text."""
    summary = inspect(report.mix)
    sources = [_source_view(report, summary, number) for number in range(len(report.mix.sources))]
    template = _environment().get_template("report.html.j2")
    page = template.render(
        title=f"{summary['name']}: {summary['tokens']:,} tokens",
        style=Markup((FOLDER / "report.css").read_text(encoding="utf-8")),
        summary=summary,
        sources=sources,
        charts=_charts(report, sources),
        outcomes=list(OUTCOMES),
        reasons=_reasons(sources),
        unexplained=sum(source.read - source.kept - sum(source.dropped.values()) for source in sources),
        samples=_samples(report, sources),
        keep_dropped=report.mix.manifest["recipe"]["keep_dropped"],
        tokens=_tokens(report),
        unused_shown=MAX_UNUSED,
        run=report.run[1] if report.run else None,
        windows=_windows(report, sources),
        digests=_digests(report, summary),
    )
    return escape(page.lstrip()) + "\n"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    environment.filters["percent"] = lambda share, digits: f"{share:.{digits}%}"
    environment.filters["fixed"] = lambda number, digits: f"{number:.{digits}f}"
    return environment


def _source_view(report: Report, summary: dict[str, Any], number: int) -> SourceView:
    manifest, name = report.mix.manifest, report.mix.sources[number]
    counts, waterfall, entry = summary["sources"][name], summary["waterfall"][name], manifest["sources"][name]
    licences = {source["name"]: source["license"] for source in manifest["recipe"]["source"]}
    return SourceView(
        name=name,
        colour=colour(number),
        target=counts["wanted"],
        share=counts["share"],
        windows=counts["windows"],
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
        licences=list(licences[name]),
    )


def _charts(report: Report, sources: list[SourceView]) -> dict[str, Markup]:
    names, stages = [source.name for source in sources], report.mix.stages
    targets = cumulative_shares(stages, report.positions)
    boundaries = [stage.start for stage in stages[1:]]
    charts = {
        "ahead": draw_ahead(report.positions, report.source_counts, targets, names, boundaries),
        "lengths": draw_lengths(report.document_lengths, names),
    }
    if boundaries:
        charts["shares"] = draw_shares(report.positions, report.source_counts, names, boundaries)
    if report.run:
        lines, result = report.run
        charts["losses"] = draw_losses(lines, result["unigram_entropy"])
    return {name: Markup(svg) for name, svg in charts.items()}


def _reasons(sources: list[SourceView]) -> list[str]:
    """All reasons for which documents were dropped, the most frequent first."""
    reasons = dict.fromkeys(reason for source in sources for reason in source.dropped)
    return sorted(reasons, key=lambda reason: -sum(source.dropped.get(reason, 0) for source in sources))


def _samples(report: Report, sources: list[SourceView]) -> list[dict[str, Any]]:
    """The samples of dropped documents by source and reason; empty when the mix has none."""
    if not any(report.dropped_samples.values()):
        return []
    groups = []
    for source in sources:
        reasons: dict[str, list[dict[str, Any]]] = {}
        for sample in report.dropped_samples[source.name]:
            reasons.setdefault(sample["reason"], []).append(_sample_view(sample))
        shown = len(report.dropped_samples[source.name])
        groups.append({"source": source, "shown": shown, "reasons": reasons})
    return groups


def _sample_view(sample: DroppedSample) -> dict[str, Any]:
    """One dropped document with what decided. A duplicate also has the kept document, and the words that differ."""
    view: dict[str, Any] = {"id": sample["id"], "url": sample["url"], "text": _shortened(sample["text"]), "kept": None}
    view["detail"], view["lines"] = sample.get("detail"), sample.get("lines", [])
    if benchmark := sample.get("benchmark"):
        view["detail"], view["lines"] = f"{benchmark}, {sample.get('item')}", [sample.get("ngram", "")]
    if kept := sample.get("kept"):
        view["words"], kept_words = compare_words(view["text"], _shortened(kept["text"]))
        view["kept"] = {"source": kept["source"], "id": kept["id"], "words": kept_words}
    return view


def compare_words(dropped: str, kept: str) -> tuple[Words, Words]:
    """Split both texts into pieces that are equal and pieces that differ, by words."""
    a, b = (re.findall(r"\s+|\S+", text) for text in (dropped, kept))
    left, right = [], []
    for operation, i, j, k, m in difflib.SequenceMatcher(a=a, b=b, autojunk=False).get_opcodes():
        left.append(("".join(a[i:j]), operation != "equal"))
        right.append(("".join(b[k:m]), operation != "equal"))
    return [piece for piece in left if piece[0]], [piece for piece in right if piece[0]]


def _tokens(report: Report) -> dict[str, Any]:
    frequent = [(text, count / report.sampled_tokens) for text, count in report.frequent_tokens]
    return {"sampled": report.sampled_tokens, "frequent": frequent, "unused": report.unused_tokens}


def _windows(report: Report, sources: list[SourceView]) -> list[dict[str, Any]]:
    by_name = {source.name: source for source in sources}
    return [
        {
            "source": by_name[window.source],
            "position": window.position,
            "shard": window.shard,
            "row": window.row,
            "documents": documents,
        }
        for window, documents in report.windows
    ]


def _digests(report: Report, summary: dict[str, Any]) -> dict[str, str]:
    manifest = report.mix.manifest
    libraries = ", ".join(f"{name} {version}" for name, version in manifest["environment"]["libraries"].items())
    return {
        "root digest": summary["root_digest"],
        "build id": manifest["build_id"],
        "tokenizer digest": summary["tokenizer"]["digest"],
        "libraries": libraries,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + " [...]"

"""The report as one HTML file, rendered from report.html.j2 with jinja2.

The file contains its style (report.css) and its charts and loads nothing. jinja2 escapes every value, since the texts
of documents may contain HTML; only the style, which is ours, is inserted as it is. Control
characters become visible escapes, and the page forbids scripts and everything from elsewhere.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from gpts_data.pipelines.filters.measure import filter_of
from gpts_data.pipelines.text.control_characters import escape
from gpts_data.validation.inspect import inspect
from gpts_data.validation.report.charts import Plot, plot_bounds, plot_lengths, plot_losses, plot_shares
from gpts_data.validation.report.collect import DroppedSample, KeptDocument, Report
from gpts_data.validation.report.views import OUTCOMES, SourceView, source_views, waterfall

FOLDER = Path(__file__).parent
MAX_CHARACTERS = 1500  # of a dropped document's text
MAX_UNUSED = 60  # unused vocabulary entries that are listed

Words = list[tuple[str, bool]]  # pieces of a text, and whether the other text has something else there


def render_html(report: Report) -> str:
    """Render the report as one HTML page. The same mix and run always give the same text."""
    summary = inspect(report.mix)
    sources = source_views(report, summary)
    boundaries = [stage.start for stage in report.mix.stages[1:]]
    template = _environment().get_template("report.html.j2")
    page = template.render(
        title=f"{summary['name']}: {summary['tokens']:,} tokens",
        style=Markup((FOLDER / "report.css").read_text(encoding="utf-8")),
        summary=summary,
        sources=sources,
        figures=_figures(summary),
        plots=_plots(report, boundaries),
        lanes=_lanes(report, sources, boundaries),
        furthest=max(source.furthest for source in sources),
        read=sum(source.read for source in sources),
        kept=sum(source.kept for source in sources),
        held_out_documents=_held_out(sources),
        waterfall=waterfall(report, sources),
        outcomes=list(OUTCOMES),
        has_duplicates=any(count for row in summary["overlap"].values() for count in row.values()),
        unexplained=sum(source.read - source.kept - sum(source.dropped.values()) for source in sources),
        passed=_passed(report),
        kept_samples=[(source, [_kept_view(d) for d in report.kept_samples[source.name]]) for source in sources],
        samples=_samples(report, sources),
        keep_dropped=report.mix.manifest["recipe"]["keep_dropped"],
        tokens=_tokens(report),
        unused_shown=MAX_UNUSED,
        run=report.run[1] if report.run else None,
        windows=_windows(report, sources),
        recipe=json.dumps(report.mix.manifest["recipe"], indent=2, ensure_ascii=False),
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


def _figures(summary: dict[str, Any]) -> dict[str, str]:
    return {
        "tokens": f"{summary['tokens']:,}",
        f"windows of {summary['window']:,}": f"{summary['windows']:,}",
        "held-out tokens": f"{sum(source['validation']['tokens'] for source in summary['sources'].values()):,}",
        "documents": f"{sum(source['documents'] for source in summary['sources'].values()):,}",
        "vocabulary": f"{summary['tokenizer']['vocab_size']:,}",
        "shards": f"{summary['shards']:,}",
    }


def _plots(report: Report, boundaries: list[int]) -> dict[str, Plot | None]:
    return {
        "shares": plot_shares(report.positions, report.source_counts, boundaries) if boundaries else None,
        "lengths": plot_lengths(report.document_lengths),
        "losses": plot_losses(report.run[0], report.run[1]["unigram_entropy"]) if report.run else None,
    }


def _lanes(report: Report, sources: list[SourceView], boundaries: list[int]) -> list[tuple[SourceView, Plot]]:
    bounds = report.bounds
    return list(zip(sources, plot_bounds(bounds.edges, bounds.low, bounds.high, boundaries), strict=True))


def _passed(report: Report) -> str:
    """Return one sentence on what every kept document passed."""
    recipe = report.mix.manifest["recipe"]
    filters = {", ".join((source.get("clean") or recipe["clean"])["filters"]) for source in recipe["source"]}
    names = f" ({', '.join(filters)})" if len(filters) == 1 else " of its source"
    passed = [f"passed the filters{names}" if any(filters) else ""]
    passed += ["repeats no earlier document" if any(recipe["dedup"].values()) else ""]
    passed += ["contains no item of a benchmark" if recipe.get("decontaminate") else ""]
    return f"What decided: each {_join(list(filter(None, passed))) or 'was read; the recipe drops none'}."


def _join(parts: list[str]) -> str:
    """Join phrases to one: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _held_out(sources: list[SourceView]) -> str:
    """Return how many kept documents are to train on and how many are held out; "" when none is held out."""
    held_out = sum(source.held_out for source in sources)
    kept = sum(source.kept for source in sources)
    return f" ({kept - held_out:,} and {held_out:,} held out)" if held_out else ""


def _kept_view(document: KeptDocument) -> KeptDocument:
    return replace(document, text=_shortened(document.text))


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
    if view["detail"] is None and filter_of(sample["reason"]) and sample["text"].endswith(" [...]"):
        # A build does not measure texts of more than 20,000 characters (mixer/stages/dropped_samples.py); trace does.
        view["detail"] = f"long document: see gpts-data trace MIX --document {shlex.quote(sample['id'])}"
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

"""The report as Markdown: the figures of the HTML page that fit into an issue, a commit or a dataset card."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from gpts_data.mixer.format.dataset_card import markdown
from gpts_data.validation.inspect import inspect
from gpts_data.validation.report.collect import Report
from gpts_data.validation.report.views import SourceView, source_views, waterfall


def render_markdown(report: Report) -> str:
    """Render the report as Markdown without texts of documents. The same mix and run always give the same text."""
    summary = inspect(report.mix)
    sources = source_views(report, summary)
    parts = [_mix(summary, sources), _stages(summary, sources), _documents(report, sources)]
    parts += [_decontamination(summary, sources), _run(report), _provenance(report, sources, summary)]
    return "\n".join(line for part in parts for line in part)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]], left: int = 1) -> Iterator[str]:
    """The lines of a table whose first `left` columns are text and the others numbers."""
    columns = list(columns)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * left}{'---:|' * (len(columns) - left)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def _mix(summary: dict[str, Any], sources: list[SourceView]) -> Iterator[str]:
    yield f"# {markdown(summary['name'])}\n"
    yield (
        f"{summary['tokens']:,} tokens in {summary['windows']:,} windows of {summary['window']:,}; vocabulary of "
        f"{summary['tokenizer']['vocab_size']:,} entries.\n"
    )
    columns = "source", "target", "actual", "tokens", "held-out tokens", "documents", "epochs", "files reached"
    yield from _table(columns, map(_source, sources))
    furthest = max(source.furthest for source in sources)
    bound = "less than one window away from its target"
    yield f"At every point of the training order each source is {bound}; the furthest is {furthest:.2f} of a window.\n"


def _source(source: SourceView) -> Iterator[str]:
    yield source.name
    yield from (f"{source.target:.2%}", f"{source.share:.3%}", f"{source.tokens:,}", f"{source.held_out_tokens:,}")
    yield from (f"{source.documents:,}", f"{source.epochs:.2f}", f"{source.files_read:,} of {source.files_total:,}")


def _stages(summary: dict[str, Any], sources: list[SourceView]) -> Iterator[str]:
    if len(summary["stages"]) > 1:
        yield "## Stages\n"
        rows = (
            (f"{stage['start']:,}", *(f"{stage['sources'][source.name]['wanted']:.2%}" for source in sources))
            for stage in summary["stages"]
        )
        yield from _table(("from window", *(source.name for source in sources)), rows)


def _documents(report: Report, sources: list[SourceView]) -> Iterator[str]:
    yield "## Documents\n"
    rows = [
        (
            f"`{step.reason}`" if step.reason else f"**{step.name}**",
            markdown(step.sentence),
            *(f"{next((n for part, n, _ in step.parts if part is source), 0):,}" for source in sources),
        )
        for step in waterfall(report, sources)
    ]
    yield from _table(("", "a document", *(source.name for source in sources)), rows, left=2)


def _decontamination(summary: dict[str, Any], sources: list[SourceView]) -> Iterator[str]:
    if "decontamination" in summary:
        yield "## Decontamination\n"
        rows = (
            (markdown(name), f"{counts['searched']:,}", *(f"{counts['contaminated'][s.name]:,}" for s in sources))
            for name, counts in summary["decontamination"]["benchmarks"].items()
        )
        yield from _table(("benchmark", "items searched for", *(source.name for source in sources)), rows)


def _run(report: Report) -> Iterator[str]:
    if report.run:
        result = report.run[1]
        yield "## Training run\n"
        yield (
            f"{result['parameters']:,} parameters, {result['steps']:,} steps: loss {result['first_loss']:.3f} to "
            f"{result['last_loss']:.3f} nats per token; unigram entropy {result['unigram_entropy']:.3f}.\n"
        )


def _provenance(report: Report, sources: list[SourceView], summary: dict[str, Any]) -> Iterator[str]:
    yield "## Provenance\n"
    rows = (
        (
            source.name,
            markdown(source.origin),
            markdown(source.revision or "local files"),
            markdown(", ".join(source.licenses) or "not stated"),
        )
        for source in sources
    )
    yield from _table(("source", "data", "revision", "license"), rows, left=4)
    yield f"- root digest `{summary['root_digest']}`"
    yield f"- build id `{report.mix.manifest['build_id']}`"
    yield f"- tokenizer digest `{summary['tokenizer']['digest']}`\n"

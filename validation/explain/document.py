"""What became of a document: where it is in the mix, or why it was dropped, with the value that decided."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa

from gpts_data.mixer.format.find_document import DocumentLocation, locate, table_entries
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.outcomes import CONTAMINATED, DroppedDocument, find_dropped
from gpts_data.mixer.format.stored_text import stored_text
from gpts_data.mixer.stages.exclude import EXCLUDED_REASONS
from gpts_data.mixer.stages.similarity import similarity
from gpts_data.pipelines.dedup.signatures import REASONS, MinHash
from gpts_data.pipelines.errors import GptsDataError, UsageError, VerificationError
from gpts_data.pipelines.filters.measure import Measurement, measure
from gpts_data.pipelines.readers.damage import DAMAGE, NUL, NULL, OVERSIZED
from gpts_data.validation.explain.reread import (
    SourceDocument,
    cleaning,
    recipe_source,
    reread,
    score_limit,
    to_dataclass,
    why_not,
)

KEPT = "kept"
OVER_BUDGET = "over_budget"
NEAR_DUPLICATE = REASONS[-1]
MOST_REREAD = 10  # documents with one id; a column that is no id would have every unit read again


@dataclass(frozen=True)
class KeptDocument:
    """The document of the mix that a duplicate repeats."""

    source: str
    document_id: str
    url: str | None
    unit: str
    held_out: bool
    start: int
    """Its first token in the stream of the source's training documents, or of its held-out documents."""
    tokens: int


@dataclass(frozen=True)
class DocumentOutcome:
    """What became of one document that was read."""

    source: str
    """Name of its source."""
    document_id: str
    """Its id in the source."""
    outcome: str
    """`kept`, or the reason why it was dropped."""
    detail: str
    """The outcome in words, with the value and the threshold where they are known."""
    unit: str
    """Part of the source that it was read in: `<file>:<start>-<stop>`, row groups or bytes."""
    revision: str | None
    """Commit of the hub dataset; None for local files."""
    url: str | None = None
    """Its URL; None where the source has none, or a dropped document cannot be read again."""
    value: float | None = None
    """What the rule measured in the document; None where that is not known."""
    threshold: float | None = None
    """The limit that the value breaks."""
    lines: tuple[str, ...] = ()
    """The first lines that decided."""
    benchmark: str | None = None
    """The benchmark whose text a contaminated document contains."""
    kept: KeptDocument | None = None
    """The document of the mix that a duplicate repeats."""
    location: DocumentLocation | None = None
    """The place of a kept document in the mix."""
    text: str | None = None
    """Its text, where the mix has it or the source can be read again."""


def explain_document(mix: Mix, document_id: str, folder: Path = Path()) -> list[DocumentOutcome]:
    """What became of every document with this id, kept ones first.

    folder: where the `files` of the recipe start from. Dropped documents are read there again to measure them, the
    first MOST_REREAD of those with this id.

    Raises `UsageError` when no document with this id was read.
    """
    kept = [_kept(mix, location) for location in locate(mix, document_id)]
    dropped = [
        _dropped(mix, document_id, row, folder if number < MOST_REREAD else None)
        for number, row in enumerate(find_dropped(mix, document_id))
    ]
    if not kept and not dropped:
        raise UsageError(_not_found(mix, document_id))
    return [*kept, *dropped]


def _not_found(mix: Mix, document_id: str) -> str:
    for source in mix.sources:
        for file in mix.manifest["sources"][source]["files"]:
            if document_id.startswith(f"{file['name']}:"):
                return (
                    f"no document {document_id!r} was read for {mix.path}: {source} has the file {file['name']}, but "
                    "the build did not read this part of it, or it has no such document"
                )
    return (
        f"no document {document_id!r} was read for {mix.path}: its part of the source was not needed, or no source has "
        "this id; `gpts-data trace --token N` shows how ids look"
    )


def _kept(mix: Mix, location: DocumentLocation) -> DocumentOutcome:
    windows = f"in {len(location.windows):,} windows of the training order"
    if not location.windows:
        windows = "held out for validation" if location.held_out else "after the last whole window of its source"
    text, _ = stored_text(mix, location.source, location.held_out, location.start, location.tokens)
    return DocumentOutcome(
        source=location.source,
        document_id=location.document_id,
        outcome=KEPT,
        detail=windows,
        unit=location.unit,
        revision=location.revision,
        url=location.url,
        location=location,
        text=text,
    )


def _dropped(mix: Mix, document_id: str, row: DroppedDocument, folder: Path | None) -> DocumentOutcome:
    """The outcome of a dropped document, with what is measured in it. Without a `folder` it is not read again."""
    reason = row.outcome.reason
    outcome = DocumentOutcome(
        source=row.source,
        document_id=document_id,
        outcome=reason,
        detail="",
        unit=row.unit,
        revision=mix.manifest["sources"][row.source]["revision"],
        benchmark=row.outcome.benchmark,
        kept=_kept_document(mix, *row.kept) if row.kept else None,
    )
    if reason == OVER_BUDGET:
        tokens = mix.manifest["sources"][row.source]["tokens"]
        return replace(outcome, detail=f"exceeds the token budget: {row.source} had its {tokens:,} tokens before it")
    if reason in EXCLUDED_REASONS:  # nor is its text read again
        name = reason.removeprefix("excluded_")
        whose = "its id" if name == "id" else f"its {name.replace('url', 'URL')}"
        return replace(outcome, detail=f"{whose} is in a list of [exclude] {name}s, which must not be in the mix")
    document, problem = None, ""
    try:
        document = reread(mix, row.source, row.unit, document_id, reason, folder) if folder is not None else None
    except (GptsDataError, OSError) as error:
        problem = why_not(error, folder or Path())
    if document:
        outcome = replace(outcome, text=document.text, url=document.url)
    detail, measurement = _explain(mix, outcome, document)
    if measurement:
        values = measurement.value, measurement.threshold, measurement.lines
        outcome = replace(outcome, value=values[0], threshold=values[1], lines=values[2])
    return replace(outcome, detail=". ".join(part for part in (detail, problem) if part))


def _explain(mix: Mix, outcome: DocumentOutcome, document: SourceDocument | None) -> tuple[str, Measurement | None]:
    """The reason in words, and what was measured."""
    reason, measurement = outcome.outcome, None
    if outcome.kept:
        where = "held-out document" if outcome.kept.held_out else "document"
        sentence = f"repeats the {where} {outcome.kept.document_id} of {outcome.kept.source}"
        measurement = _similarity(mix, outcome, document) if document and document.text else None
        return f"{sentence}; {measurement}" if measurement else sentence, measurement
    if reason == CONTAMINATED:
        return _contaminated(mix, outcome), None
    source = recipe_source(mix, outcome.source)
    if limit := score_limit(source, reason):
        column, threshold, is_minimum = limit
        name = f"{'at_least' if is_minimum else 'below'}.{column}"
        score = document.score if document else None
        measurement = Measurement(column, score, threshold, name, is_minimum, is_match=not is_minimum)
    else:
        text = document.text if document else None
        measurement = measure(text, cleaning(mix, outcome.source), reason) if text is not None else None
    faults = {
        NULL: "the text is null",
        NUL: "the text contains a NUL character",
        OVERSIZED: f"the text has more than max_document_bytes = {source.max_document_bytes:,} bytes",
        **DAMAGE,
    }
    return str(measurement) if measurement else faults.get(reason, reason.replace("_", " ")), measurement


def _similarity(mix: Mix, outcome: DocumentOutcome, document: SourceDocument) -> Measurement | None:
    """How similar a near-duplicate is to the document that it repeats, where the mix has all of that."""
    kept, minhash = outcome.kept, mix.manifest["recipe"]["dedup"].get("minhash")
    if (
        kept is None
        or minhash is None
        or outcome.outcome != NEAR_DUPLICATE
        or "c4" in cleaning(mix, outcome.source).filters
    ):
        return None  # C4 changes texts before they are compared
    other, is_whole = stored_text(mix, kept.source, kept.held_out, kept.start, kept.tokens)
    settings = to_dataclass(mix, minhash, MinHash)
    return similarity(asdict(settings), document.text or "", other) if is_whole else None


def _contaminated(mix: Mix, outcome: DocumentOutcome) -> str:
    sentence = f"contains text of the benchmark {outcome.benchmark}"
    entry = mix.manifest.get("decontamination")
    for document in entry["documents"] if entry else ():
        if (document["source"], document["document"]) == (outcome.source, outcome.document_id):
            return f"{sentence} ({document['item']}): {document['ngram']}"
    return sentence


def _kept_document(mix: Mix, source: str, held_out: bool, number: int) -> KeptDocument:
    """The training or held-out document of a source with this number."""
    for entry in table_entries(mix, source, held_out):
        if number < entry["documents"]:
            row = mix.table(entry).take(pa.array([number])).to_pylist()[0]
            return KeptDocument(
                source, row["id"], row["url"], row["unit"], held_out, start=row["start"], tokens=row["tokens"]
            )
        number -= entry["documents"]
    raise VerificationError(
        f"{mix.path}: the document tables of {source} have fewer documents than its outcomes name; run gpts-data verify"
    )

"""The names that columns of text, ids and URLs usually have: to detect them, and to suggest one for a wrong name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpts_data.pipelines.suggestion import closest

TEXT = ("text", "content", "raw_content", "body", "document", "article", "markdown", "raw_text", "full_text", "story")
_IDS = ("id", "doc_id", "document_id", "docid", "documentid", "uuid", "guid", "_id", "warc_record_id", "record_id")
_PAGE_IDS = ("page_id", "pageid", "article_id", "articleid", "paper_id", "identifier")
ID = (*_IDS, *_PAGE_IDS, *(f"{parent}.{name}" for parent in ("meta", "metadata") for name in (*_IDS, *_PAGE_IDS)))
URL = ("url", "uri", "link", "source_url", "page_url", "meta.url", "metadata.url", "metadata.source")
"""In the order in which they are looked for; upper and lower case are the same, and so are hyphens and underscores."""


def usual_columns(columns: Iterable[str], names: Sequence[str]) -> list[str]:
    """Those of the columns that have one of these names, in the order of the names."""
    by_folded = {column.casefold().replace("-", "_"): column for column in sorted(columns, reverse=True)}
    return [by_folded[name] for name in names if name in by_folded]


def suggest_column(key: str, name: str, columns: Iterable[str]) -> str:
    """The end of a message that no column is called `name`: `; did you mean text = "content"?`, or nothing.

    key: the key of the recipe that names it: text, id or url; "" for another.
    """
    columns = sorted(columns)
    names = {"text": TEXT, "id": ID, "url": URL}.get(key, ())
    near = closest(name, columns) or next(iter(usual_columns(columns, names)), None)
    if near is None:
        return ""
    return f'; did you mean {key} = "{near}"?' if key else f"; did you mean {near}?"

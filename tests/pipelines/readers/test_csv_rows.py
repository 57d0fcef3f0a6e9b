"""CSV: quotes as RFC 4180 has them, one fault for each row that is broken, and bounded memory for an open quote."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers import csv_rows, damage
from gpts_data.pipelines.readers.columns import BATCH_ROWS

NAMES = ("text", "id", None)


def read(content: bytes, name: str = "a.csv", **keys: Any) -> list[tuple[str | None, str | None, str, str | None]]:
    batches = csv_rows.read(io.BytesIO(content), name, 0, len(content), NAMES, **keys)
    return [(row["text"], row["id"], row["place"], row["fault"]) for batch in batches for row in batch.to_pylist()]


def test_quoted_fields_hold_newlines_quotes_and_delimiters() -> None:
    content = b'id,text\r\n1,"a, ""b""\nc\r\nd"\r\n\r\n,"\xc3\xa9"\n3,\n'
    assert read(content) == [
        ('a, "b"\nc\r\nd', "1", "a.csv:0", None),
        ("é", None, "a.csv:1", None),
        ("", "3", "a.csv:2", None),
    ]


def test_a_broken_row_costs_itself() -> None:
    content = b'id,text\n1,a\n2\n3,b,c\n4,"d"e\n5,caf\xe9\n6,f\n'
    assert [(text, fault) for text, _, _, fault in read(content)] == [
        ("a", None),
        (None, damage.BROKEN_ROW),
        (None, damage.BROKEN_ROW),
        (None, damage.BROKEN_ROW),
        (None, damage.NOT_UTF8),
        ("f", None),
    ]


def test_a_quote_that_is_never_closed_is_one_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b'id,text\n1,a\n2,"b\n' + b"3,c\n" * 1000
    assert read(content)[1:] == [(None, None, "a.csv:1", damage.BROKEN_ROW)]
    monkeypatch.setattr(csv_rows, "OTHER_FIELDS", 100)
    assert read(content, max_document_bytes=100)[1:] == [(None, None, "a.csv:1", damage.BROKEN_ROW)]
    assert read(b"id,text\n1," + b"x" * 10**6, max_document_bytes=100) == [(None, None, "a.csv:0", damage.BROKEN_ROW)]


def test_a_text_that_is_too_long_costs_itself() -> None:
    assert [fault for *_, fault in read(b"text,id\nabc,1\nabcd,2\n", max_document_bytes=3)] == [None, damage.OVERSIZED]


def test_scores_are_compared_as_those_of_other_formats() -> None:
    scores = b"3", b" 4.5 ", b"2", b"", b"nan", b"high", b"\xe9"
    content = b"text,id,score\n" + b"".join(b"a,%d,%s\n" % row for row in enumerate(scores)) + b"a,7\n"
    low, no_number = "low_score", "score_not_a_number"
    assert [fault for *_, fault in read(content, buckets=[damage.ScoreBounds({"score": 3})])] == [
        *(None, None, low, low, low, no_number, no_number),
        damage.BROKEN_ROW,
    ]


def test_a_file_that_breaks_off_says_so() -> None:
    content = gzip.compress(b"text,id\n" + b"".join(b"text %d,%d\n" % (i * i, i) for i in range(5000)))
    rows = read(content[: len(content) // 2], "a.csv.gz")
    assert rows[-1][3] == damage.CUT_FRAME
    assert [text for text, *_ in rows[:-1]] == [f"text {i * i}" for i in range(len(rows) - 1)]


def test_batches_are_bounded() -> None:
    content = b"text,id\n" + b"a,1\n" * (2 * BATCH_ROWS + 1)
    batches = list(csv_rows.read(io.BytesIO(content), "a.csv", 0, len(content), NAMES))
    assert [batch.num_rows for batch in batches] == [BATCH_ROWS, BATCH_ROWS, 1]
    assert batches[1].column("place")[0].as_py() == f"a.csv:{BATCH_ROWS}"


def test_a_file_without_the_text_or_the_id() -> None:
    assert [fault for *_, fault in read(b"body,id\na,1\n")] == [damage.DRIFT]
    with pytest.raises(DataError, match=r"a.csv: no column 'id' for id, url, at_least or below; found text, x"):
        read(b"text,x\na,1\n")
    assert read(b"") == []

"""The same documents in every format: the same texts, ids and scores, in order, whatever the size of a unit."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.errors import DataError, RecipeError
from gpts_data.pipelines.readers.kinds import format_of
from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
from gpts_data.pipelines.readers.source import Source

Rows = list[dict[str, Any]]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
ROWS = st.lists(
    st.fixed_dictionaries({"text": TEXT, "id": st.integers(0, 99).map(lambda n: f"i{n}"), "score": st.floats(0, 9)}),
    min_size=1,
    max_size=8,
)


def delimited(rows: Rows, delimiter: str) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "text", "score"], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def arrow(rows: Rows, writer: Callable[..., Any]) -> bytes:
    table = pa.Table.from_pylist(rows)
    out = io.BytesIO()
    with writer(out, table.schema) as file:
        file.write_table(table, max_chunksize=3)
    return out.getvalue()


def feathered(rows: Rows) -> bytes:
    out = io.BytesIO()
    feather.write_feather(pa.Table.from_pylist(rows), out, compression="lz4", chunksize=3)
    return out.getvalue()


def parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=3)
    return out.getvalue()


def lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def array(rows: Rows) -> bytes:
    return b"\xef\xbb\xbf" + json.dumps(rows, ensure_ascii=False, indent=1).encode()


WRITERS: dict[str, Callable[[Rows], bytes]] = {
    "a.jsonl": lines,
    "b.NDJSON": lines,
    "c.jsonlines": lines,
    "d.json": lines,
    "e.json": array,
    "f.csv": lambda rows: delimited(rows, ","),
    "g.tsv": lambda rows: b"\xef\xbb\xbf" + delimited(rows, "\t"),
    "h.arrow": lambda rows: arrow(rows, pa.ipc.new_file),
    "i.arrow": lambda rows: arrow(rows, pa.ipc.new_stream),
    "j.feather": feathered,
    "k.pq": parquet,
    "l.PARQUET": parquet,
    "m.jsonl.zstd": lambda rows: zstandard.compress(lines(rows)),
    "n.jsonl.bz2": lambda rows: bz2.compress(lines(rows)),
    "o.JSONL.XZ": lambda rows: lzma.compress(lines(rows)),
    "p.csv.gz": lambda rows: gzip.compress(delimited(rows, ",")),
    "q.json.zst": lambda rows: zstandard.compress(array(rows)),
    "r.gz": lambda rows: gzip.compress(lines(rows)),
}


def documents(folder: Path, name: str, unit_bytes: int = 1 << 20, **keys: Any) -> list[dict[str, Any]]:
    source = Source("web", 1, (name,), **keys)
    (file,) = list_files(source, folder).files
    check_columns(source, file)
    units = split_units(source, file, unit_bytes)
    return [row for unit in units for batch in read(source, unit) for row in batch.to_pylist()]


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, unit=st.sampled_from([1, 40, 10**6]))
def test_every_format_holds_the_same_documents(name: str, tmp_path: Path, rows: Rows, unit: int) -> None:
    (tmp_path / name).write_bytes(WRITERS[name](rows))
    found = documents(tmp_path, name, unit, id="id", at_least={"score": 3}, below={"score": 5})
    faults = ["low_score" if row["score"] < 3 else None if row["score"] < 5 else "high_score" for row in rows]
    assert [(row["text"], row["id"], row["fault"]) for row in found] == [
        (None if fault else row["text"], row["id"], fault) for row, fault in zip(rows, faults, strict=True)
    ]
    assert len({row["place"] for row in found}) == len(rows)


@pytest.mark.parametrize("name", WRITERS)
def test_a_missing_column_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(WRITERS[name]([{"id": "1", "text": "a", "score": 1.0}]))
    with pytest.raises(RecipeError, match=r"'web': no column 'body' in .*; found id, score, text"):
        documents(tmp_path, name, text="body")
    with pytest.raises(RecipeError, match="no column 'url'"):
        documents(tmp_path, name, url="url")


def test_columns_inside_others_are_read_from_arrow_files_too(tmp_path: Path) -> None:
    rows = [{"meta": {"text": f"text {i}", "n": i}, "other": "x"} for i in range(7)]
    (tmp_path / "a.arrow").write_bytes(arrow(rows, pa.ipc.new_stream))
    found = documents(tmp_path, "a.arrow", 10, text="meta.text", id="meta.n")
    assert [(row["text"], row["id"]) for row in found] == [(f"text {i}", str(i)) for i in range(7)]


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfOne.\n\nTwo.\n")
    (tmp_path / "b.txt.bz2").write_bytes(bz2.compress(b"Three.\n" * 10))
    (tmp_path / "c.txt").write_bytes(b"x" * 100)
    (tmp_path / "d.txt").write_bytes(b"")
    assert documents(tmp_path, "a.txt") == [
        {"text": "One.\n\nTwo.\n", "id": None, "url": None, "place": "a.txt:0", "fault": None}
    ]
    assert [row["text"] for row in documents(tmp_path, "b.txt.bz2", 1)] == ["Three.\n" * 10]
    (found,) = documents(tmp_path, "c.txt", max_document_bytes=99)
    assert (found["text"], found["fault"]) == (None, "oversized_document")
    assert documents(tmp_path, "d.txt") == []


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"caf\xe9", "invalid_utf8"), (bz2.compress(b"a" * 99)[:-5], "cut_frame")],
)
def test_a_damaged_text_file_is_named(tmp_path: Path, content: bytes, match: str) -> None:
    name = "a.txt.bz2" if content[:2] == b"BZ" else "a.txt"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}:0: .*{match}"):
        documents(tmp_path, name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.Parquet", "parquet"),
        ("deep.er/part-0000", None),
        ("a.parquet.gz", None),
        ("a.tar.gz", None),
        ("deep.er/part-0000.gz", "jsonl"),
        ("a.warc.gz", None),
        ("a.jsonl.gz.bz2", None),
        ("a.TXT.xz", "txt"),
        ("notjsonl", None),
        ("README.md", None),
    ],
)
def test_formats_of_names(name: str, kind: str | None) -> None:
    assert format_of(name) == kind

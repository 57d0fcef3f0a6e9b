"""Columns as people have them: nested, left out, of any type; a bad value costs its row."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.pipelines.errors import DataError, RecipeError
from gpts_data.pipelines.readers import columns
from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
from gpts_data.pipelines.readers.source import Source

ROWS = [{"meta": {"text": f"text {i}", "id": i, "url": f"u/{i}", "score": i, "other": "o" * 100}} for i in range(4)]
NESTED = {"text": "meta.text", "id": "meta.id", "url": "meta.url"}
KINDS = pytest.mark.parametrize("kind", ["parquet", "jsonl"])


def written(folder: Path, kind: str, rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> str:
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "a.parquet")
    else:
        (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"a.{kind}"


def documents(folder: Path, source: Source) -> list[dict[str, Any]]:
    (file,) = list_files(source, folder).files
    check_columns(source, file)
    units = split_units(source, file, 1 << 20)
    return [row for unit in units for batch in read(source, unit) for row in batch.to_pylist()]


@KINDS
def test_columns_may_be_fields_of_objects(tmp_path: Path, kind: str) -> None:
    source = Source("web", 1, (written(tmp_path, kind, ROWS),), at_least={"meta.score": 2}, **NESTED)
    found = [(row["text"], row["id"], row["url"], row["fault"]) for row in documents(tmp_path, source)]
    low = "low_meta.score"
    assert found == [
        (None, "0", "u/0", low),
        (None, "1", "u/1", low),
        ("text 2", "2", "u/2", None),
        ("text 3", "3", "u/3", None),
    ]


@KINDS
def test_a_name_with_a_dot_wins_over_a_field(tmp_path: Path, kind: str) -> None:
    rows = [{"meta": {"text": "the field"}, "meta.text": "the column"}]
    (row,) = documents(tmp_path, Source("web", 1, (written(tmp_path, kind, rows),), text="meta.text"))
    assert row["text"] == "the column"


@KINDS
def test_fields_lie_at_any_depth_and_their_names_may_have_dots(tmp_path: Path, kind: str) -> None:
    rows = [{"a": {"b.c": {"d": "deep"}}}]
    (row,) = documents(tmp_path, Source("web", 1, (written(tmp_path, kind, rows),), text="a.b.c.d"))
    assert row["text"] == "deep"


@KINDS
def test_fields_of_a_null_object_are_null(tmp_path: Path, kind: str) -> None:
    source = Source("web", 1, (written(tmp_path, kind, [*ROWS, {"meta": None}]),), **NESTED)
    last = documents(tmp_path, source)[-1]
    assert (last["text"], last["id"], last["url"], last["fault"]) == (None, None, None, "null_text")


@KINDS
def test_a_missing_field_lists_those_found(tmp_path: Path, kind: str) -> None:
    source = Source("web", 1, (written(tmp_path, kind, ROWS),), text="meta.body")
    with pytest.raises(
        RecipeError, match=r"no column 'meta\.body' in .*meta\.id, meta\.other, meta\.score, meta\.text"
    ):
        documents(tmp_path, source)


def test_a_field_left_out_of_a_line_is_null(tmp_path: Path) -> None:
    """Spark leaves out nulls."""
    rows: list[dict[str, Any]] = [{"text": "a"}, {"id": "2"}, {"text": "c", "id": "3", "url": "u"}]
    source = Source("web", 1, (written(tmp_path, "jsonl", rows),), id="id", url="url")
    found = [(row["text"], row["id"], row["url"], row["fault"]) for row in documents(tmp_path, source)]
    assert found == [("a", None, None, None), (None, "2", None, "null_text"), ("c", "3", "u", None)]


def test_a_column_that_no_line_has_is_an_error(tmp_path: Path) -> None:
    name = written(tmp_path, "jsonl", [{"text": "a"}, {"text": "b", "id": 1}])
    with pytest.raises(RecipeError, match=r"no column 'url' in a\.jsonl; found id, text"):
        documents(tmp_path, Source("web", 1, (name,), id="id", url="url"))


IDS = [1.0, float("nan"), "nan", "NaN", "", " \t", None, "x", 7, 9007199254740993]


def test_ids_and_urls_that_are_none_in_lines(tmp_path: Path) -> None:
    rows = [{"text": "a", "id": value, "url": value} for value in IDS]
    found = documents(tmp_path, Source("web", 1, (written(tmp_path, "jsonl", rows),), id="id", url="url"))
    assert [row["id"] for row in found] == ["1.0", *[None] * 6, "x", "7", "9007199254740993"]
    assert [row["url"] for row in found] == [row["id"] for row in found]


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1.5, float("nan"), None], pa.float64(), ["1.5", None, None]),
        (["x", "nan", "NaN", "", " \t", None, "Nan"], pa.string(), ["x", *[None] * 5, "Nan"]),
        (["x", "nan"], pa.large_string(), ["x", None]),
        (["x", "nan"], pa.dictionary(pa.int8(), pa.string()), ["x", None]),
        ([7, 2**63], pa.uint64(), ["7", str(2**63)]),
        ([b"ABC", None], pa.binary(3), ["ABC", None]),
    ],
    ids=str,
)
def test_ids_and_urls_that_are_none_in_columns(
    tmp_path: Path, values: list[Any], kind: pa.DataType, expected: list[str | None]
) -> None:
    schema = pa.schema([("text", pa.string()), ("id", kind), ("url", kind)])
    rows = [{"text": "a", "id": value, "url": value} for value in values]
    name = written(tmp_path, "parquet", rows, schema)
    found = documents(tmp_path, Source("web", 1, (name,), id="id", url="url"))
    assert [row["id"] for row in found] == [row["url"] for row in found] == expected


@pytest.mark.parametrize("kind", [pa.binary(16), pa.uuid() if hasattr(pa, "uuid") else pa.binary(16)], ids=str)
def test_sixteen_bytes_are_a_uuid(tmp_path: Path, kind: pa.DataType) -> None:
    values = [uuid.UUID(int=i << 80 | i) for i in range(3)]
    ids = pa.array([*(value.bytes for value in values), None], pa.binary(16)).cast(kind)
    pq.write_table(pa.table({"text": ["a"] * 4, "id": ids}), tmp_path / "a.parquet")
    found = documents(tmp_path, Source("web", 1, ("a.parquet",), id="id"))
    assert [row["id"] for row in found] == [*map(str, values), None]


SCORES = ["3", "0.7", " 4 ", "nan", "", None, "high", "1e3", "2"]
LOW = [None, "low_score", None, "low_score", "low_score", "low_score", "score_not_a_number", None, "low_score"]


@pytest.mark.parametrize(
    "kind", ["jsonl", pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_scores_may_be_strings(tmp_path: Path, kind: str | pa.DataType) -> None:
    rows = [{"text": "a", "score": score} for score in SCORES]
    schema = None if kind == "jsonl" else pa.schema([("text", pa.string()), ("score", kind)])
    name = written(tmp_path, "jsonl" if schema is None else "parquet", rows, schema)
    found = documents(tmp_path, Source("web", 1, (name,), at_least={"score": 3}))
    assert [row["fault"] for row in found] == LOW


@pytest.mark.parametrize("kind", [pa.decimal128(25, 2), pa.float32(), pa.int8(), pa.uint64(), pa.bool_()], ids=str)
def test_scores_of_any_type_of_number(tmp_path: Path, kind: pa.DataType) -> None:
    scores = pa.array([1, 0, None], pa.int64()).cast(kind)
    pq.write_table(pa.table({"text": ["a"] * 3, "score": scores}), tmp_path / "a.parquet")
    found = documents(tmp_path, Source("web", 1, ("a.parquet",), at_least={"score": 1}))
    assert [row["fault"] for row in found] == [None, "low_score", "low_score"]


@pytest.mark.parametrize(("key", "fault"), [("id", "invalid_id"), ("url", "invalid_url")])
def test_an_invalid_id_costs_its_row_and_names_its_column(tmp_path: Path, key: str, fault: str) -> None:
    offsets, content = pa.array([0, 2, 4, 6], pa.int32()).buffers()[1], pa.py_buffer(b"ab\xff\xfecd")
    column = pa.Array.from_buffers(pa.string(), 3, [None, offsets, content])
    pq.write_table(pa.table({"text": ["a", "b", "c"], "key": column}), tmp_path / "a.parquet")
    found = documents(tmp_path, Source("web", 1, ("a.parquet",), max_damaged=1, **{key: "key"}))
    assert [(row["text"], row[key], row["fault"]) for row in found] == [
        ("a", "ab", None),
        (None, None, fault),
        ("c", "cd", None),
    ]
    with pytest.raises(DataError, match=rf"a\.parquet:0:1: .* is not UTF-8 \({fault}\), column 'key'; found 1 damaged"):
        documents(tmp_path, Source("web", 1, ("a.parquet",), **{key: "key"}))


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_slices_are_limited_by_bytes_and_by_rows(monkeypatch: pytest.MonkeyPatch, kind: pa.DataType) -> None:
    monkeypatch.setattr(columns, "BATCH_BYTES", 10)
    monkeypatch.setattr(columns, "BATCH_ROWS", 3)
    texts = ["aaaa", "aaaa", "aaaa", None, "", None, "b" * 20, "c", "aaaa", "d" * 11]
    batch = pa.record_batch({"text": pa.array(texts, pa.string()).cast(kind)})
    found = [part.column("text").to_pylist() for part in columns.slices(batch, "text")]
    assert found == [["aaaa", "aaaa"], ["aaaa", None, ""], [None], ["b" * 20], ["c", "aaaa"], ["d" * 11]]


def test_a_column_that_is_there_and_cannot_be_read_is_named_with_its_type(tmp_path: Path) -> None:
    lists = pa.table({"text": [["a"]], "x": ["b"]})
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"])
    for table, message in (
        (lists, r"column 'text' holds list<.*found x"),
        (twice, "column 'text' occurs more than once"),
    ):
        pq.write_table(table, tmp_path / "a.parquet")
        source = Source("a", 1, ("a.parquet",))
        with pytest.raises(RecipeError, match=message):
            check_columns(source, list_files(source, tmp_path).files[0])

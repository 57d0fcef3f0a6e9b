"""Parquet: every row group in one unit, only the named columns, a damaged file named."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers import parquet
from gpts_data.pipelines.readers.source import Columns

NAMES = ("text", "id", "url")


def written(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def table(n: int) -> pa.Table:
    return pa.table({"text": [f"text {i} " * i for i in range(n)], "id": list(range(n)), "url": ["u"] * n})


def read(content: bytes, start: int, stop: int, names: Columns = NAMES) -> list[dict[str, Any]]:
    batches = parquet.read(io.BytesIO(content), "a.parquet", start, stop, names)
    return [row for batch in batches for row in batch.to_pylist()]


CONTENT = written(table(60), row_group_size=7, compression="none")


@given(st.integers(1, 20_000))
def test_units_of_any_size_hold_every_row_group_once(unit: int) -> None:
    runs = parquet.row_group_runs(io.BytesIO(CONTENT), "a.parquet", "text", unit)
    assert [start for start, _, _ in runs] == [0, *(stop for _, stop, _ in runs[:-1])]
    assert runs[-1][1] == 9
    assert all(total >= unit for _, _, total in runs[:-1])
    found = [row for start, stop, _ in runs for row in read(CONTENT, start, stop)]
    assert [(row["text"], row["id"]) for row in found] == [(f"text {i} " * i, str(i)) for i in range(60)]
    assert [row["place"] for row in found] == [f"a.parquet:{i // 7}:{i % 7}" for i in range(60)]


def test_a_unit_counts_the_text_column_only() -> None:
    rows = {"text": [f"{i:0100}" for i in range(40)], "text2": [f"{i:05000}" for i in range(40)]}
    content = written(pa.table(rows), row_group_size=10, use_dictionary=False)
    assert [run[:2] for run in parquet.row_group_runs(io.BytesIO(content), "a", "text", 1900)] == [(0, 2), (2, 4)]


def test_a_name_may_hold_dots() -> None:
    rows = {"message.content": [f"{i:0100}" for i in range(40)], "message": ["a"] * 40, "id": ["i"] * 40}
    content = written(pa.table(rows), row_group_size=10, use_dictionary=False)
    assert [run[:2] for run in parquet.row_group_runs(io.BytesIO(content), "a", "message.content", 1900)] == [
        (0, 2),
        (2, 4),
    ]
    found = read(content, 0, 4, ("message.content", "id", None))
    assert [row["text"] for row in found] == rows["message.content"]


def test_ids_that_are_no_plain_values() -> None:
    """Not among the columns a plan finds; in a file behind the first, refused by name."""
    content = written(pa.table({"text": ["a"], "id": [[1]], "url": [{"u": "v"}]}))
    assert parquet.columns(io.BytesIO(content), "a") == {"text", "url.u"}
    with pytest.raises(DataError, match="a.parquet"):
        read(content, 0, 1)
    twice = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["text", "id", "id"])
    assert parquet.columns(io.BytesIO(written(twice)), "a") == {"text"}


def test_batches_of_a_long_row_group() -> None:
    content = written(pa.table({"text": ["a"] * 2500}))
    batches = list(parquet.read(io.BytesIO(content), "a.parquet", 0, 1, ("text", None, None)))
    assert [batch.num_rows for batch in batches] == [1000, 1000, 500]
    assert batches[2].column("place")[499].as_py() == "a.parquet:0:2499"


@pytest.mark.parametrize("use_dictionary", [False, True])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_batches_of_long_documents(kind: pa.DataType, use_dictionary: bool) -> None:
    texts = [f"{i} " * 1_000_000 for i in range(20)] + ["short"] * 5
    content = written(pa.table({"text": pa.array(texts).cast(kind)}), use_dictionary=use_dictionary)
    batches = list(parquet.read(io.BytesIO(content), "a.parquet", 0, 1, ("text", None, None)))
    assert [text for batch in batches for text in batch.column("text").to_pylist()] == texts
    assert [place for batch in batches for place in batch.column("place").to_pylist()] == [
        f"a.parquet:0:{i}" for i in range(25)
    ]
    assert max(sum(map(len, batch.column("text").to_pylist())) for batch in batches) <= 16 << 20


def test_no_rows() -> None:
    content = written(table(0))
    assert all(
        read(content, start, stop) == []
        for start, stop, _ in parquet.row_group_runs(io.BytesIO(content), "a", "text", 1)
    )


class Recorded(io.BytesIO):
    """Counts the bytes that are read."""

    taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        content = super().read(size)
        self.taken += len(content)
        return content


def test_only_the_named_columns_are_read() -> None:
    wide = pa.table({"text": ["a b c"] * 100, "embedding": [[float(i)] * 3000 for i in range(100)]})
    content = Recorded(written(wide, row_group_size=50, use_dictionary=False, compression="none"))
    rows = [r for batch in parquet.read(content, "a", 0, 2, ("text", None, None)) for r in batch.to_pylist()]
    assert [(row["text"], row["id"], row["url"]) for row in rows] == [("a b c", None, None)] * 100
    assert len(content.getvalue()) > 2_000_000
    assert content.taken < 200_000


def test_of_a_struct_only_the_named_field_is_read() -> None:
    rows = pa.table({"meta": [{"text": "a b c", "embedding": [float(i)] * 3000} for i in range(100)]})
    content = Recorded(written(rows, row_group_size=50, use_dictionary=False, compression="none"))
    batches = parquet.read(content, "a", 0, 2, ("meta.text", None, None))
    assert [text for batch in batches for text in batch.column("text").to_pylist()] == ["a b c"] * 100
    assert len(content.getvalue()) > 2_000_000
    assert content.taken < 200_000
    n_bytes, n_ranges = parquet.fetch_cost(content, "a", ["meta.text"], 0, 2)
    assert n_bytes < 10_000
    assert n_ranges == 2


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.binary(), pa.string_view()],
    ids=str,
)
def test_string_columns_of_any_kind(kind: pa.DataType) -> None:
    texts = ["a", "é 漢 🙂", "", None, "a"]
    column = pa.array(texts, pa.string()).cast(kind)
    content = written(pa.table({"text": column, "id": column, "url": column}), row_group_size=2)
    rows = read(content, 0, 3)
    assert [row["text"] for row in rows] == texts
    assert [row["id"] for row in rows] == [row["url"] for row in rows] == [text or None for text in texts]


def test_an_id_may_be_a_number_and_null() -> None:
    content = written(pa.table({"text": ["a", None], "id": pa.array([7, None], pa.int64()), "url": pa.nulls(2)}))
    rows = read(content, 0, 1)
    assert [(row["text"], row["id"], row["url"]) for row in rows] == [("a", "7", None), (None, None, None)]


def test_one_column_may_serve_twice() -> None:
    content = written(pa.table({"text": ["a"], "url": ["u"]}))
    assert read(content, 0, 1, ("text", "url", "url"))[0] == {
        "text": "a",
        "id": "u",
        "url": "u",
        "place": "a.parquet:0:0",
        "fault": None,
    }


def test_columns_by_name() -> None:
    assert parquet.columns(io.BytesIO(CONTENT), "a.parquet") == {"text", "id", "url"}


SMALL = written(table(12), row_group_size=4)


def everything(content: bytes) -> list[dict[str, Any]]:
    """All rows, sound or not; raises when the footer cannot be used."""
    runs = parquet.row_group_runs(io.BytesIO(content), "part-7.parquet", "text", 1)
    batches = (parquet.read(io.BytesIO(content), "part-7.parquet", *run[:2], NAMES) for run in runs)
    return [row for unit in batches for batch in unit for row in batch.to_pylist()]


def test_cut_at_any_byte_it_is_refused() -> None:
    for end in range(len(SMALL)):
        with pytest.raises(DataError, match=r"^part-7\.parquet"):
            everything(SMALL[:end])


def test_any_changed_byte_is_read_whole_or_refused() -> None:
    """Of the pages no checksum tells (the file's sha256 does), but no damage ends in a traceback or in fewer rows."""
    for at in range(len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[at] ^= 0xFF
        try:
            rows = everything(bytes(damaged))
        except DataError as error:
            assert "part-7.parquet" in str(error)
        else:
            assert len(rows) == 12
            assert all(row["fault"] is None or row["text"] is None for row in rows)


def test_text_that_is_no_utf8_is_a_fault_of_its_row() -> None:
    offsets, content = pa.array([0, 2, 4, 6], pa.int32()).buffers()[1], pa.py_buffer(b"ab\xff\xfecd")
    column = pa.Array.from_buffers(pa.string(), 3, [None, offsets, content])
    rows = read(written(pa.table({"text": column})), 0, 1, ("text", None, None))
    assert [(row["text"], row["fault"]) for row in rows] == [("ab", None), (None, "invalid_utf8"), ("cd", None)]
    rows = read(written(pa.table({"text": ["a", "b", "c"], "id": column})), 0, 1, ("text", "id", None))
    assert [(row["text"], row["id"], row["fault"]) for row in rows] == [
        ("a", "ab", None),
        (None, None, "invalid_id"),
        ("c", "cd", None),
    ]


@pytest.mark.parametrize("other", [{"text": [[1.0], [2.0]]}, {"text": [1, 2]}, {"body": ["a", "b"]}], ids=str)
def test_a_file_without_a_column_of_text_has_drifted(other: dict[str, Any]) -> None:
    rows = read(written(pa.table(other)), 0, 1, ("text", None, None))
    assert [(row["text"], row["place"], row["fault"]) for row in rows] == [
        (None, f"a.parquet:0:{i}", "schema_drift") for i in range(2)
    ]


def test_page_checksums_are_verified_where_there_are_any() -> None:
    """Of 60 single-bit flips inside the pages, all are found: as a fault of the rows of their row group."""
    content = written(table(60), row_group_size=20, compression="none", write_page_checksum=True)
    group = pq.ParquetFile(io.BytesIO(content)).metadata.row_group(1)
    first, last = group.column(0).dictionary_page_offset + 100, group.column(0).data_page_offset - 10
    for bit in random.Random(0).sample(range(8 * first, 8 * last), 60):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        rows = read(bytes(damaged), 0, 3)
        assert [row["fault"] for row in rows] == [None] * 20 + ["damaged_row_group"] * 20 + [None] * 20


def test_errors_of_the_disk_stay_what_they_are(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(parquet.read(Failing(CONTENT), "a.parquet", 0, 1, NAMES))


def test_two_columns_of_one_name_are_no_column() -> None:
    """Neither is the text that the recipe means; the first of them must not be read for it."""
    arrays = [pa.array(["a", "b"]), pa.array(["c", "d"]), pa.array(["u", "v"])]
    content = written(pa.Table.from_arrays(arrays, names=["text", "text", "url"]))
    assert parquet.columns(io.BytesIO(content), "a.parquet") == {"url"}
    rows = read(content, 0, 1, ("text", None, None))
    assert [(row["text"], row["fault"]) for row in rows] == [(None, "schema_drift")] * 2


def test_a_thread_that_cannot_be_started_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else sound documents would be left out as damaged where the user may start few threads."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", refuse)
    with pytest.raises(pa.ArrowException, match="launch worker thread"):
        read(CONTENT, 0, 9)

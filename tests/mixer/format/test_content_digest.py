"""The digest of a file's values: the same for every way to store them, another for other values."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.mixer.format.content_digest import content_digest, table_digest
from gpts_data.mixer.format.layout import DOCUMENTS, SIDECAR
from gpts_data.pipelines.storage.atomic_files import write_npy

UINT64, UINT32 = st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
ROWS = st.lists(st.tuples(st.text(max_size=5), st.none() | st.text(max_size=5), st.text(max_size=3), UINT64, UINT32))


def as_documented(rows: list[tuple[object, ...]]) -> str:
    """The digest as the module describes it, written down row by row."""
    content = struct.pack("<Q", len(rows))
    for number, name in enumerate(DOCUMENTS.names):
        column = [row[number] for row in rows]
        if name in ("id", "url", "unit"):
            values = [None if value is None else str(value).encode() for value in column]
            content += b"".join(struct.pack("<q", -1 if value is None else len(value)) for value in values)
            content += b"".join(value or b"" for value in values)
        else:
            content += b"".join(struct.pack("<Q", value) for value in column)
    return hashlib.sha256(content).hexdigest()


def as_table(rows: list[tuple[object, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(DOCUMENTS.names, row, strict=True)) for row in rows], DOCUMENTS)


@given(ROWS, st.integers(1, 4), st.integers(0, 9))
def test_any_table_in_any_chunks_and_any_string_type(rows: list[tuple[object, ...]], size: int, skip: int) -> None:
    table = as_table(rows)
    chunks = pa.concat_tables([table.slice(i, size) for i in range(0, len(rows), size)] or [table])
    assert table_digest(table) == table_digest(chunks) == as_documented(rows)
    assert table_digest(chunks.slice(skip)) == as_documented(rows[skip:])
    for kind in (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        other = chunks.set_column(1, "url", chunks.column("url").cast(kind))
        assert table_digest(other) == as_documented(rows)


@given(ROWS, ROWS)
def test_other_rows_have_another_digest(rows: list[tuple[object, ...]], others: list[tuple[object, ...]]) -> None:
    assert (table_digest(as_table(rows)) == table_digest(as_table(others))) == (rows == others)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("row_group_size", [1, 7, 1000])
@pytest.mark.parametrize("version", ["1.0", "2.6"])
def test_any_encoding_of_a_table(tmp_path: Path, compression: str, row_group_size: int, version: str) -> None:
    rows: list[tuple[object, ...]] = [(f"d{i}", None if i % 3 else f"u{i}", "a:0-9", i * 7, 7) for i in range(20)]
    options = {"compression": compression, "row_group_size": row_group_size, "version": version}
    pq.write_table(as_table(rows), tmp_path / "t.parquet", **options)
    assert content_digest(tmp_path / "t.parquet") == as_documented(rows)


def test_a_column_of_nulls_without_values_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        table_digest(pa.table({"start": pa.array([1, None], pa.uint64())}))


def test_an_array_is_its_file_without_the_header(tmp_path: Path) -> None:
    array = np.array([(1, 2), (3, 2**31)], SIDECAR)
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    assert write_npy(tmp_path / "a.npy", array)["content"] == content_digest(tmp_path / "a.npy") == digest
    big_endian = array.astype([("source", "u1"), ("window", ">u4")])
    assert write_npy(tmp_path / "b.npy", big_endian)["content"] == content_digest(tmp_path / "b.npy") == digest
    write_npy(tmp_path / "c.npy", array[:0])
    assert content_digest(tmp_path / "c.npy") == hashlib.sha256(b"").hexdigest()


def test_a_file_whose_bytes_are_ours_has_none(tmp_path: Path) -> None:
    assert content_digest(tmp_path / "train-00000.bin") is None

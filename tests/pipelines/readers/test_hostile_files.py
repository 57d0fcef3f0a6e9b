"""Files of any kind with bytes changed, added or cut off give documents and faults, or an error that names the file."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from gpts_data.pipelines.errors import GptsDataError
from gpts_data.pipelines.readers.damage import DAMAGE, NUL, NULL, OVERSIZED
from gpts_data.pipelines.readers.reader import check_columns, read, split_units
from gpts_data.pipelines.readers.source import Source, SourceFile

ROWS = [
    {"text": f"text {i} é\n" * (i % 3), "id": f"d{i}", "url": f"https://example.org/{i}" if i % 2 else None, "score": i}
    for i in range(12)
]
SOURCE = Source("web", 1, ("x",), id="id", url="url", at_least={"score": 2}, max_document_bytes=1000, max_damaged=1000)
FAULTS = {*DAMAGE, NULL, NUL, OVERSIZED, "low_score", "score_not_a_number"}
LOWEST = {"text", "id", "url", "place", "fault"}


def as_parquet(**options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), sink, row_group_size=5, **options)
    return sink.getvalue()


def as_arrow() -> bytes:
    sink, table = io.BytesIO(), pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=5)
    return sink.getvalue()


def as_csv() -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    return sink.getvalue().encode()


LINES = "".join(json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for i, row in enumerate(ROWS)).encode()
FILES = {
    "a.parquet": as_parquet(),
    "b.parquet": as_parquet(compression="none", use_dictionary=False, write_page_checksum=True),
    "a.arrow": as_arrow(),
    "a.jsonl": LINES,
    "a.jsonl.gz": gzip.compress(LINES, mtime=0),
    "a.jsonl.zst": zstandard.compress(LINES),
    "a.json": json.dumps(ROWS).encode(),
    "a.csv": as_csv(),
    "a.txt": LINES,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def rows_of(folder: Path, name: str, content: bytes) -> list[dict[str, Any]] | None:
    """All rows of a file through the entrance that builds use; None when it is refused by its name."""
    path = folder / name
    path.write_bytes(content)
    source = Source("web", 1, ("x",), max_damaged=1000) if name.endswith(".txt") else SOURCE
    file = SourceFile(name, str(path), len(content), None)
    try:
        check_columns(source, file)
        units = split_units(source, file, 300)
        return [row for unit in units for batch in read(source, unit) for row in batch.to_pylist()]
    except GptsDataError as error:
        assert name in str(error)
        return None


def check(folder: Path, name: str, content: bytes) -> None:
    rows = rows_of(folder, name, content)
    for row in rows or []:
        assert row.keys() >= LOWEST
        assert row["place"].startswith(name)
        assert row["fault"] is None or (row["fault"] in FAULTS and row["text"] is None)
    places = [row["place"] for row in rows or []]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_sound_before(folder: Path, name: str) -> None:
    rows = rows_of(folder, name, FILES[name])
    assert rows and (name.endswith(".txt") or [row["id"] for row in rows] == [row["id"] for row in ROWS])


EDITS = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4), st.integers(0, 20)), min_size=1, max_size=4)


@given(st.sampled_from(sorted(FILES)), EDITS)
def test_any_bytes_at_any_place(folder: Path, name: str, edits: list[tuple[int, bytes, int]]) -> None:
    content = FILES[name]
    for at, new, n_replaced in edits:
        at %= len(content) + 1
        content = content[:at] + new + content[at + n_replaced :]
    check(folder, name, content)


@given(st.sampled_from(sorted(FILES)), st.integers(0, 10**6), st.integers(0, 7), st.integers(0, 10**6))
def test_a_flipped_bit_or_a_cut(folder: Path, name: str, at: int, bit: int, end: int) -> None:
    """A bit in half of the files, in the last 300 bytes of every fourth; every second is cut."""
    content = bytearray(FILES[name])
    at = at % len(content) if at % 4 else len(content) - 1 - at // 4 % min(300, len(content))
    content[at] ^= 1 << bit
    check(folder, name, bytes(content[: end % len(content)] if end % 2 else content))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "id", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)
LINE = st.dictionaries(st.sampled_from(["text", "id", "url", "score", "text.a"]), VALUES, max_size=5).map(
    lambda value: json.dumps(value).encode()
)


@given(st.lists(LINE | st.binary(max_size=30) | VALUES.map(lambda value: json.dumps(value).encode()), max_size=8))
def test_any_json_in_lines(folder: Path, lines: list[bytes]) -> None:
    """Every line that is not blank is a document or a fault, and none is lost."""
    lines = [b'{"text": "first", "id": "1", "url": "u", "score": 3}', *(line.replace(b"\n", b" ") for line in lines)]
    content = b"\n".join(lines)
    check(folder, "a.jsonl", content)
    rows = rows_of(folder, "a.jsonl", content)
    assert rows is not None and len(rows) == sum(bool(line.strip()) for line in lines)

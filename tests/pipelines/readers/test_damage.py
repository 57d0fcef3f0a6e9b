"""Faults: every one is counted under its reason, and damage beyond the budget names itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers import damage
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import Source

CHARACTER = st.one_of(st.characters(codec="utf-8"), st.sampled_from("\0\ufeff漢🙂 "))
TEXT = st.one_of(st.none(), st.text(CHARACTER, max_size=30), st.binary(max_size=6))
"""As a parquet file may hold it: bytes stand for a string that may be none."""


def expected(text: str | bytes | None) -> str | None:
    if text is None:
        return damage.NULL
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            return damage.NOT_UTF8
    return damage.NUL if "\0" in text else damage.OVERSIZED if len(text.encode()) > 60 else None


@given(st.lists(TEXT, max_size=40), st.integers(1, 7))
@settings(max_examples=250)
def test_parquet_counters_are_exact(tmp_path_factory: pytest.TempPathFactory, texts: list[object], group: int) -> None:
    """Some 5,000 documents."""
    folder = tmp_path_factory.mktemp("parquet")
    raw = [text.encode() if isinstance(text, str) else text for text in texts]
    column = pa.array(raw, pa.binary())
    column = pa.Array.from_buffers(pa.string(), len(column), column.buffers())  # a string column, whatever is in it
    pq.write_table(pa.table({"text": column}), folder / "a.parquet", row_group_size=group)
    source = Source("web", 1, ("a.parquet",), max_document_bytes=60, max_damaged=1000)
    (file,) = list_files(source, folder).files
    rows = [row for unit in split_units(source, file, 100) for batch in read(source, unit) for row in batch.to_pylist()]
    wanted = [expected(text) for text in texts]  # type: ignore[arg-type]
    assert [row["fault"] for row in rows] == wanted
    for row, text, fault in zip(rows, raw, wanted, strict=True):
        assert row["text"] == (None if fault or text is None else text.decode())


def lines_file(folder: Path, n_broken: int) -> Source:
    lines = [json.dumps({"text": f"document {i}"}) for i in range(20)]
    for i in range(n_broken):
        lines[3 + 2 * i] = "{"
    (folder / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return Source("notes", 1, ("a.jsonl",))


def faults_of(source: Source, folder: Path) -> Counter[str]:
    (file,) = list_files(source, folder).files
    batches = [batch for unit in split_units(source, file, 10**9) for batch in read(source, unit)]
    return sum((damage.split_faulty(batch)[1] for batch in batches), Counter())


def test_damage_beyond_the_budget_is_refused_by_name(tmp_path: Path) -> None:
    source = lines_file(tmp_path, 2)
    message = (
        r"source 'notes': a\.jsonl:69: not a line with one JSON object \(broken_line\); found 2 damaged, "
        r"max_damaged = 0\. Repair the file"
    )
    with pytest.raises(DataError, match=message):
        faults_of(source, tmp_path)


@pytest.mark.parametrize("allowed", [2, 3])
def test_damage_within_the_budget_is_counted(tmp_path: Path, allowed: int) -> None:
    source = Source("notes", 1, lines_file(tmp_path, 2).files, max_damaged=allowed)
    assert faults_of(source, tmp_path) == {"broken_line": 2}


def test_what_is_merely_of_no_use_is_not_charged(tmp_path: Path) -> None:
    rows = [{"text": None}, {"text": "a\0"}, {"text": "long " * 20}, {"text": ""}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = faults_of(Source("notes", 1, ("a.jsonl",), max_document_bytes=50), tmp_path)
    assert found == {"null_text": 1, "nul_character": 1, "oversized_document": 1}


BOMB = """
import re, sys
from pathlib import Path
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import Source
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
source = Source("x", 1, (sys.argv[1],), max_damaged=1)
(file,) = list_files(source, Path()).files
before = peak()
(unit,) = split_units(source, file, 10**9)
for batch in read(source, unit):
    last = batch.column("fault")[-1]
print(last, peak() - before)
"""


@pytest.mark.parametrize("text", [b"a", b'{"text": "a"}\n'], ids=["one line", "lines"])
def test_a_bomb_goes_off_in_bounded_memory(tmp_path: Path, text: bytes) -> None:
    """Two gigabytes from some ten kilobytes; a bomb is recognised after 64 MB, of which 1 MB is held at a time."""
    (tmp_path / "bomb.jsonl.zst").write_bytes(zstandard.compress(text * (2 * 10**9 // 16 // len(text))) * 16)
    assert (tmp_path / "bomb.jsonl.zst").stat().st_size < 1_000_000
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(tmp_path / "bomb.jsonl.zst")],
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    found, megabytes = done.stdout.rsplit(" ", 1)
    assert found == "decompression_bomb"
    assert int(megabytes) < 300

"""P4: memory does not grow with the size of documents or row groups."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
READ = """
import sys
from pathlib import Path
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import Source

def peak(): return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

source = Source("web", 1, files=("*.parquet",), max_document_bytes=300_000_000)
(unit,) = split_units(source, list_files(source, Path(sys.argv[1])).files[0], 10**10)
before = peak()
rows = n_bytes = 0
for batch in read(source, unit):
    rows += batch.num_rows
    n_bytes += sum(map(len, batch.column("text").to_pylist()))
print(rows, n_bytes, peak() - before)
"""


def peak_bytes(folder: Path, texts: list[str], kind: pa.DataType, **options: Any) -> int:
    """Memory that reading texts from one row group takes."""
    folder.mkdir()
    table = pa.table({"text": pa.array(texts, kind)})
    pq.write_table(table, folder / "a.parquet", row_group_size=len(texts), **options)
    command = [sys.executable, "-c", READ, str(folder)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8").stdout.split()
    assert found[:2] == [str(len(texts)), str(sum(map(len, texts)))]
    return int(found[2])


def long_texts(n: int, n_bytes: int) -> list[str]:
    """Texts that do not compress to nothing."""
    rng = random.Random(1)
    return [rng.randbytes(n_bytes // 2).hex() for _ in range(n)]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_a_longer_row_group_takes_no_more(tmp_path: Path, kind: pa.DataType) -> None:
    """120 MB more of documents of 2 MB, in pages of at most 8 MB, less than a third of that more memory."""
    pages = {"use_dictionary": False, "write_batch_size": 4}
    small = peak_bytes(tmp_path / "small", long_texts(20, 2_000_000), kind, **pages)
    large = peak_bytes(tmp_path / "large", long_texts(80, 2_000_000), kind, **pages)
    assert large - small < 40_000_000, f"{small:,} and {large:,} bytes"


def test_a_row_group_in_one_page(tmp_path: Path) -> None:
    """A page can only be decompressed whole: here it holds 100 MB, since writers fill it with up to 1,024 values."""
    taken = peak_bytes(tmp_path / "page", long_texts(50, 2_000_000), pa.string())
    assert taken < 450_000_000, f"{taken:,} bytes"


def test_a_document_of_200_megabytes(tmp_path: Path) -> None:
    texts = ["short", *long_texts(1, 200_000_000), "last"]
    assert peak_bytes(tmp_path / "one", texts, pa.large_string()) < 1_500_000_000

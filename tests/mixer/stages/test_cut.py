"""What is cut is written whole, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpts_data.mixer.format.document_index import index_name
from gpts_data.mixer.schedule.permutation import EpochOrder
from gpts_data.mixer.stages.cut import Cut
from gpts_data.pipelines.storage.atomic_files import file_digest, write_bytes, write_npy
from gpts_data.pipelines.storage.checksums import checksum

CHILD = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from gpts_data.pipelines.storage.atomic_files import write_npy
from gpts_data.pipelines.errors import StorageError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_npy(Path(sys.argv[1]), np.arange(20))
except StorageError as error:
    sys.exit(error.exit_code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
@pytest.mark.parametrize("limit", [0, 100, 128, 200, 287])
def test_an_array_that_finds_no_room_is_an_error(tmp_path: Path, limit: int) -> None:
    """128 bytes of header and 160 of numbers: a file of fewer must not come into being."""
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "a.npy"), str(limit)], check=False)
    assert done.returncode == 5
    assert list(tmp_path.iterdir()) == []


def test_an_array_comes_back(tmp_path: Path) -> None:
    array = np.array([(1, 2), (3, 4)], dtype=[("slot", "<u4"), ("window", "<u4")])
    write_npy(tmp_path / "a.npy", array)
    assert (np.load(tmp_path / "a.npy", mmap_mode="r") == array).all()


def test_an_earlier_run_counts_only_when_each_of_its_files_is_as_it_was(tmp_path: Path) -> None:
    documents = tmp_path / "documents" / "00000.parquet"
    task = Cut((), 0, 1, 64, np.dtype("<u2"), EpochOrder(1, 1, 1, "web"), tmp_path / "00000.bin", documents, "key")
    write_bytes(task.path, b"windows")
    write_bytes(documents, b"table")
    table = {"documents": 1, "bytes": 5, "sha256": file_digest(documents)}
    table["index"] = write_npy(documents.with_name(index_name(documents.name)), np.arange(3))
    write_bytes(task.held_out, b"held out")
    held_out = {"documents": 1, "tokens": 2, "file": checksum(task.held_out)}
    receipt = {"windows": checksum(task.path), "held_out": held_out, **table}
    assert task.accepts(receipt)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 4
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert not task.accepts(receipt), path
        path.unlink()
        assert not task.accepts(receipt), path
        path.write_bytes(content)
    documents.unlink()
    task.held_out.unlink()
    none = {"documents": 0, "tokens": 0}
    assert task.accepts({**receipt, "documents": 0, "held_out": none})  # without documents there are no such files

"""Files in a store are read with few requests, and as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from gpts_data.pipelines.storage import store_file
from gpts_data.pipelines.storage.paths import as_path, is_file, read_bytes, remove_file
from gpts_data.pipelines.storage.store_file import open_arrow


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The ranges that are asked for of memory://bucket/table.arrow, which has 20 batches of 80 kB in two columns."""
    store, sent = fsspec.filesystem("memory"), []
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.schema([("small", pa.int64()), ("large", pa.list_(pa.int64()))])) as writer:
        for number in range(20):
            rows = [list(range(number, number + 100))] * 100
            writer.write_batch(pa.RecordBatch.from_pydict({"small": range(100), "large": rows}, schema=writer_schema()))
    store.pipe("/bucket/table.arrow", sink.getvalue().to_pybytes())
    read = store.cat_file
    monkeypatch.setattr(type(store), "cat_file", lambda _, *a, **k: sent.append(k) or read(*a, **k))
    yield sent
    store.rm("/bucket", recursive=True)


def writer_schema() -> pa.Schema:
    return pa.schema([("small", pa.int64()), ("large", pa.list_(pa.int64()))])


def table(included: list[int]) -> pa.Table:
    options = pa.ipc.IpcReadOptions(included_fields=included)
    with open_arrow(as_path("memory://bucket/table.arrow")) as file, pa.ipc.open_file(file, options=options) as reader:
        return reader.read_all()


def test_a_small_file_takes_one_request(requests: list[Any]) -> None:
    assert table([0, 1]).num_rows == 2000
    assert len(requests) == 1


def test_neighbouring_ranges_of_a_large_one_are_read_together(
    requests: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = table([0, 1])
    requests.clear()
    monkeypatch.setattr(store_file, "FIRST_BYTES", 400_000)
    monkeypatch.setattr(store_file, "LAST_BYTES", 2_000)
    monkeypatch.setattr(store_file, "READ_AHEAD", 100_000)
    assert table([0, 1]) == expected
    assert len(requests) < 12, "20 batches of 4 buffers each"
    requests.clear()
    assert table([0]) == expected.select(["small"])
    assert len(requests) < 25, "one for each batch beyond the beginning"


def test_an_empty_file_and_one_that_is_not_there(requests: list[Any]) -> None:
    empty, missing = as_path("memory://bucket/empty"), as_path("memory://bucket/missing")
    empty.write_bytes(b"")
    assert is_file(empty) and read_bytes(empty) == b""
    assert not is_file(missing)
    with pytest.raises(FileNotFoundError, match=r"does not have this object.*memory://bucket/missing"):
        read_bytes(missing)
    remove_file(missing)
    remove_file(empty)
    assert not is_file(empty)


def test_on_disk_the_same(tmp_path: Path) -> None:
    np.arange(4, dtype="<u2").tofile(tmp_path / "a")
    assert is_file(tmp_path / "a") and len(read_bytes(tmp_path / "a")) == 8
    remove_file(tmp_path / "a")
    assert not is_file(tmp_path / "a")
    remove_file(tmp_path / "a")

"""A unit file has few batches, so that a store is asked seldom, and its documents are read as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from gpts_data.mixer.stages import unit_file
from gpts_data.mixer.stages.unit_file import document_columns, unit_batches, unit_schema, unit_writer
from gpts_data.mixer.stages.unit_texts import Texts
from gpts_data.pipelines.storage import store_file
from gpts_data.pipelines.storage.atomic_files import atomic_write
from gpts_data.pipelines.storage.paths import AnyPath, as_path

ROWS, TOKENS = 10, 50  # of each batch that is added, and of each document
DTYPE = np.dtype("<u2")


def write(path: AnyPath, batches: int) -> pa.Table:
    """Write a unit; returns its documents."""
    rows = [
        {"id": f"{n}", "url": None, "draw": n, "matches": [], "tokens": TOKENS, "ids": [n] * TOKENS}
        for n in range(batches * ROWS)
    ]
    table = pa.Table.from_pylist(rows, schema=unit_schema(DTYPE))
    with atomic_write(path) as file, unit_writer(file, DTYPE) as writer:
        for batch in table.to_batches(max_chunksize=ROWS):
            writer.add(batch)
    return table


@pytest.mark.parametrize("batches", [0, 1, 8])
def test_batches_are_written_together(batches: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_file, "BATCH_BYTES", 3 * ROWS * TOKENS * DTYPE.itemsize)
    table = write(tmp_path / "unit.arrow", batches)
    written = list(unit_batches(tmp_path / "unit.arrow"))
    assert [batch.num_rows for batch in written] == {0: [], 1: [ROWS], 8: [3 * ROWS, 3 * ROWS, 2 * ROWS]}[batches]
    assert pa.Table.from_batches(written, table.schema) == table
    tokens, draws, _ = document_columns(tmp_path / "unit.arrow")
    assert draws.tolist() == list(range(batches * ROWS)) and set(tokens.tolist()) <= {TOKENS}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The ranges that are asked for of a store, which has the footer of a file or a batch at once."""
    monkeypatch.setattr(unit_file, "BATCH_BYTES", 1)
    for name, size in {"FIRST_BYTES": 500, "LAST_BYTES": 2000, "READ_AHEAD": 2000, "MOST_AHEAD": 2000}.items():
        monkeypatch.setattr(store_file, name, size)
    store, sent = fsspec.filesystem("memory"), list[Any]()
    read = store.cat_file
    monkeypatch.setattr(type(store), "cat_file", lambda _, *a, **k: sent.append(k) or read(*a, **k))
    yield sent
    store.rm("/units", recursive=True)


def test_a_unit_in_a_store_is_read_as_it_is(requests: list[Any]) -> None:
    path = as_path("memory://units/unit.arrow")
    table = write(path, 20)
    assert pa.Table.from_batches(unit_batches(path), table.schema) == table
    assert len(requests) <= 2 + 20, "beginning and end, and each batch once"
    requests.clear()
    assert document_columns(path)[1].tolist() == list(range(20 * ROWS))
    assert len(requests) <= 2 + 20


def test_a_text_in_a_store_is_asked_for_once(requests: list[Any]) -> None:
    """Near-duplicates of a document are all over a unit: tests of pairs would ask for the same batches again."""
    path = as_path("memory://units/unit.arrow")
    write(path, 8)
    texts = Texts(None)
    texts.add(path, 100)
    rows = [(7 * n) % (8 * ROWS) for n in range(8 * ROWS)]
    assert [texts.row(100 + row)["draw"][0].as_py() for row in rows] == rows
    assert len(requests) < 2 * 8, "of the footer some pieces, and each batch once"

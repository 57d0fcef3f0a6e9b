"""Arrow files: runs of record batches, only the columns that are asked for, and damage that is named."""

from __future__ import annotations

import io
from pathlib import Path

import datasets
import pyarrow as pa
import pytest

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers import arrow_ipc
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.source import Source

NAMES = ("text", None, None)


def write(path: Path, kind: pa.DataType | None = None, stream: bool = False) -> list[str]:
    texts = [f"text {i} " * 50 for i in range(40)]
    table = pa.table({"other": [b"x" * 9999] * 40, "text": pa.array(texts).cast(kind or pa.string())})
    writer = pa.ipc.new_stream if stream else pa.ipc.new_file
    with writer(str(path), table.schema) as file:
        file.write_table(table, max_chunksize=4)
    return texts


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
def test_units_are_runs_of_record_batches(tmp_path: Path, kind: pa.DataType, stream: bool) -> None:
    texts = write(tmp_path / "a.arrow", kind, stream)
    source = Source("web", 1, ("a.arrow",))
    (file,) = list_files(source, tmp_path).files
    units = split_units(source, file, 2500)
    assert [unit.name for unit in units] == [f"a.arrow:{i}-{i + 2}" for i in range(0, 10, 2)]
    assert sum(map(len, texts)) <= sum(unit.text_bytes for unit in units) < 1.2 * sum(map(len, texts))
    rows = [row for unit in units for batch in read(source, unit) for row in batch.to_pylist()]
    assert [row["text"] for row in rows] == texts
    assert [row["place"] for row in rows[3:5]] == ["a.arrow:0:3", "a.arrow:1:0"]


def test_a_saved_dataset_and_its_splits(tmp_path: Path) -> None:
    dataset = datasets.Dataset.from_dict({"text": [f"text {i}" for i in range(30)], "id": list(range(30))})
    dataset.save_to_disk(tmp_path / "saved", num_shards=3)
    splits = datasets.DatasetDict({"train": dataset, "test": dataset.select(range(5))})
    splits.save_to_disk(tmp_path / "splits")
    for files, split, expected in (("saved", "train", 30), ("splits", "train", 30), ("splits", "test", 5)):
        source = Source("web", 1, (files,), id="id", split=split)
        listing = list_files(source, tmp_path)
        assert all(file.name.endswith(".arrow") for file in listing.files)
        rows = [
            row
            for file in listing.files
            for unit in split_units(source, file, 1 << 20)
            for batch in read(source, unit)
            for row in batch.to_pylist()
        ]
        assert [(row["text"], row["id"]) for row in rows] == [(f"text {i}", str(i)) for i in range(expected)]


def test_a_remote_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    for stream in (True, False):
        texts = write(tmp_path / "a.arrow", stream=stream)
        content = (tmp_path / "a.arrow").read_bytes()
        batches = arrow_ipc.read(io.BytesIO(content), "a.arrow", 0, len(content), NAMES)
        assert [text for batch in batches for text in batch.column("text").to_pylist()] == texts


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_or_damaged_file_is_named(tmp_path: Path, stream: bool) -> None:
    write(tmp_path / "a.arrow", stream=stream)
    content = (tmp_path / "a.arrow").read_bytes()
    for damaged in (content[:1000], content[: len(content) // 2], b"x" * 1000, b"", b"FEA1" + content[4:]):
        with pytest.raises(DataError, match=r"a\.arrow: not readable as an Arrow file"):
            list(arrow_ipc.read(io.BytesIO(damaged), "a.arrow", 0, 10, NAMES))
        (tmp_path / "a.arrow").write_bytes(damaged)
        with (tmp_path / "a.arrow").open("rb") as file, pytest.raises(DataError, match=r"a\.arrow: not readable"):
            arrow_ipc.batch_runs(file, "a.arrow", "text", 100)


def test_offsets_outside_the_text_are_damage_and_not_a_crash() -> None:
    text = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\xff\xff\xff\x7f\x08\0\0\0"), pa.py_buffer(b"abcdefgh")
    )
    out = io.BytesIO()
    batch = pa.record_batch([text], ["text"])
    with pa.ipc.new_stream(out, batch.schema) as file:
        file.write_batch(batch)
    with pytest.raises(DataError, match="not readable as an Arrow file"):
        list(arrow_ipc.read(io.BytesIO(out.getvalue()), "a.arrow", 0, 10, NAMES))


def test_a_text_that_is_not_utf8_costs_only_itself() -> None:
    text = pa.array([b"a", b"caf\xe9", b"c"]).view(pa.string())
    out = io.BytesIO()
    batch = pa.record_batch([text], ["text"])
    with pa.ipc.new_stream(out, batch.schema) as file:
        file.write_batch(batch)
    rows = [
        row
        for found in arrow_ipc.read(io.BytesIO(out.getvalue()), "a.arrow", 0, 10, NAMES)
        for row in found.to_pylist()
    ]
    assert [(row["text"], row["fault"]) for row in rows] == [("a", None), (None, "invalid_utf8"), ("c", None)]

"""Sources in a store: the same names and documents as on disk, and another identity once a file has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError
from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
from gpts_data.pipelines.readers.source import Listing, Source

TEXTS = [f"text {i}" for i in range(50)]
BUCKET = "memory://bucket"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """A store in this process's memory; the first request for b.parquet is answered like any other."""
    store = fsspec.filesystem("memory")
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "b.parquet", row_group_size=10)
    table = pa.table({"text": TEXTS})
    with pa.ipc.new_file(str(tmp_path / "c.arrow"), table.schema) as file:
        file.write_table(table, max_chunksize=10)
    store.pipe("/bucket/web/a.jsonl", lines)
    store.pipe("/bucket/web/b.parquet", (tmp_path / "b.parquet").read_bytes())
    store.pipe("/bucket/web/deep/c.arrow", (tmp_path / "c.arrow").read_bytes())
    store.pipe("/bucket/web/_SUCCESS", b"")
    store.pipe("/bucket/web/_temporary/0/c.arrow", b"unfinished")
    yield store
    store.rm("/bucket", recursive=True)


def raise_for_all_buckets(*_: Any, **__: Any) -> None:
    """As the client of S3 does."""
    raise ValueError("Cannot traverse all of S3")


def listed(*patterns: str, **keys: Any) -> Listing:
    return list_files(Source("web", 1, patterns, **keys), Path("/nowhere"))


def names(*patterns: str) -> list[str]:
    return [file.name for file in listed(*patterns).files]


def test_globs_folders_and_braces(store: Any) -> None:
    everything = ["a.jsonl", "b.parquet", "deep/c.arrow"]
    assert names(f"{BUCKET}/web") == names(f"{BUCKET}/web/*") == everything
    assert names(f"{BUCKET}/web/**/*.arrow", f"{BUCKET}/web/*.jsonl") == ["deep/c.arrow", "a.jsonl"]
    assert names(f"{BUCKET}/web/{{b,a}}.*") == ["b.parquet", "a.jsonl"]
    assert names(f"{BUCKET}/web/_temporary") == names(f"{BUCKET}/web/_temporary/*/*.arrow") == ["c.arrow"]


@pytest.mark.parametrize("name", ["a.jsonl", "b.parquet", "deep/c.arrow"])
@pytest.mark.parametrize("unit_bytes", [100, 10**6])
def test_documents_are_read_in_place(store: Any, name: str, unit_bytes: int) -> None:
    source = Source("web", 1, (f"{BUCKET}/web/{name}",))
    (file,) = list_files(source, Path()).files
    check_columns(source, file)
    units = split_units(source, file, unit_bytes)
    assert [t for unit in units for batch in read(source, unit) for t in batch.column("text").to_pylist()] == TEXTS


def test_a_changed_file_is_another_listing(store: Any) -> None:
    before = listed(f"{BUCKET}/web").revision
    assert before and listed(f"{BUCKET}/web").revision == before
    content = store.cat("/bucket/web/a.jsonl")
    store.rm("/bucket/web/a.jsonl")
    store.pipe("/bucket/web/a.jsonl", content)
    assert listed(f"{BUCKET}/web").revision != before


def test_a_file_that_changed_its_size_or_went_is_refused(store: Any) -> None:
    source = Source("web", 1, (f"{BUCKET}/web/a.jsonl",))
    (file,) = list_files(source, Path()).files
    (unit,) = split_units(source, file, 10**6)
    store.pipe("/bucket/web/a.jsonl", b"{}")
    with pytest.raises(DataError, match=r"a\.jsonl: found 2 bytes, expected"):
        list(read(source, unit))
    store.rm("/bucket/web/a.jsonl")
    with pytest.raises(SourceUnavailableError, match=r"cannot read memory://.*a\.jsonl"):
        list(read(source, unit))


def test_what_cannot_be_read_is_named(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store.pipe("/bucket/web/README.md", b"x")
    with pytest.raises(RecipeError, match=r"'web'.*cannot read .*README\.md; expected \.parquet"):
        listed(f"{BUCKET}/web/*")
    with pytest.raises(RecipeError, match="matches nothing"):
        listed(f"{BUCKET}/books/*")
    with monkeypatch.context() as patch, pytest.raises(RecipeError, match=r"traverse all of S3; expected the name of"):
        patch.setattr(type(store), "glob", raise_for_all_buckets)
        listed("memory://*/a.jsonl")
    with pytest.raises(RecipeError, match="addresses in a store only, or local files only"):
        listed(f"{BUCKET}/web/*.jsonl", "a.jsonl")
    with pytest.raises(RecipeError, match='a store has no sha256 of a.jsonl; use integrity = "stream"'):
        listed(f"{BUCKET}/web/a.jsonl", integrity="sha256")

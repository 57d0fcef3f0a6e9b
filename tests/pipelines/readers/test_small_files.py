"""Many small files are read as one: every document once, under the name and place of its own file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.readers.reader import list_files, read, split_units
from gpts_data.pipelines.readers.small_files import JOINED_BYTES, MANY, SMALL_BYTES, join_small_files
from gpts_data.pipelines.readers.source import Source, SourceFile


def files(sizes: list[int], suffix: str = "txt") -> list[SourceFile]:
    return [SourceFile(f"{i:05d}.{suffix}", f"/{i}", size, f"{i}") for i, size in enumerate(sizes)]


def test_few_files_and_large_files_and_tables_stay_apart() -> None:
    for sources in (
        files([10] * (MANY - 1)),
        files([SMALL_BYTES] * 2 * MANY),
        files([10] * 2 * MANY, "parquet"),
        files([0] * 2 * MANY),
    ):
        assert join_small_files(sources) == tuple(sources)


def test_neighbours_of_one_kind_are_joined_up_to_a_size() -> None:
    some = [*files([SMALL_BYTES - 1] * 2 * MANY), *files([10] * 5, "jsonl"), *files([SMALL_BYTES], "jsonl")]
    joined = join_small_files(some)
    assert [single for file in joined for single in file.single_files] == some
    assert all(file.size == sum(single.size for single in file.single_files) for file in joined)
    assert max(file.size for file in joined) <= JOINED_BYTES
    assert len(joined) == -(-2 * MANY // (JOINED_BYTES // (SMALL_BYTES - 1))) + 2
    assert joined[-2].name == "00000.jsonl..5..00004.jsonl"


def test_joined_files_have_the_identity_of_all_their_contents() -> None:
    some = files([10] * MANY)
    (before,) = join_small_files(some)
    changed = SourceFile(some[50].name, some[50].location, 10, "other")
    (after,) = join_small_files([*some[:50], changed, *some[51:]])
    assert (before.name, before.size) == (after.name, after.size) and before.sha256 != after.sha256
    unknown = SourceFile(some[50].name, some[50].location, 10, None)
    assert join_small_files([*some[:50], unknown, *some[51:]])[0].sha256 is None


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "json", "csv", "txt.gz"])
def test_every_document_once_at_its_place(tmp_path: Path, suffix: str) -> None:
    texts = [f"text {i}" for i in range(2 * MANY)]
    for i, text in enumerate(texts):
        content = {
            "txt": text,
            "jsonl": json.dumps({"text": text}) + "\n",
            "json": json.dumps([{"text": text}]),
            "csv": f"text\n{text}\n",
            "txt.gz": text,
        }[suffix].encode()
        (tmp_path / f"{i:03d}.{suffix}").write_bytes(gzip.compress(content) if suffix == "txt.gz" else content)
    source = Source("web", 1, (".",), integrity="sha256")
    listing = list_files(source, tmp_path)
    (file,) = listing.files
    (unit,) = split_units(source, file, 1)
    rows = [row for batch in read(source, unit) for row in batch.to_pylist()]
    assert [row["text"] for row in rows] == texts
    assert rows[7]["place"].startswith(f"007.{suffix}:")
    changed = tmp_path / f"007.{suffix}"
    changed.write_bytes(changed.read_bytes()[::-1])
    with pytest.raises(DataError, match=rf"007\.{suffix}: found sha256"):
        list(read(source, unit))

"""Sources: files by glob under names that do not depend on the place, columns, units, changed files."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from gpts_data.pipelines.errors import DataError, RecipeError, SourceUnavailableError
from gpts_data.pipelines.readers.reader import check_columns, list_files, read, split_units
from gpts_data.pipelines.readers.source import Listing, Source, SourceFile, Unit
from gpts_data.pipelines.storage.atomic_files import atomic_write

TEXTS = [f"text {i} " * 40 for i in range(50)]


def lines(texts: list[str]) -> bytes:
    return "".join(json.dumps({"text": text, "id": text[:7]}) + "\n" for text in texts).encode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A recipe's folder with one set of texts in every kind of file."""
    folder = tmp_path / "home"
    (folder / "data" / "deep").mkdir(parents=True)
    pq.write_table(pa.table({"text": TEXTS, "id": TEXTS}), folder / "data" / "b.parquet", row_group_size=10)
    (folder / "data" / "a.jsonl").write_bytes(lines(TEXTS))
    (folder / "data" / "deep" / "c.jsonl.zst").write_bytes(zstandard.compress(lines(TEXTS)))
    (folder / "data" / "deep" / "d.json.gz").write_bytes(gzip.compress(lines(TEXTS), mtime=0))
    return folder


def listed(folder: Path, *patterns: str) -> Listing:
    return list_files(Source("web", 1, patterns), folder)


def facts(listing: Listing) -> list[tuple[str, int, str | None]]:
    return [(file.name, file.size, file.sha256) for file in listing.files]


def names(folder: Path, *patterns: str) -> list[str]:
    return [file.name for file in listed(folder, *patterns).files]


def texts(source: Source, file: SourceFile, unit_bytes: int) -> list[str]:
    units = split_units(source, file, unit_bytes)
    return [text for unit in units for batch in read(source, unit) for text in batch.column("text").to_pylist()]


def test_globs_start_at_the_recipes_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert names(home, "data/*.parquet") == ["b.parquet"]
    assert names(home, "data/**/*.*") == ["a.jsonl", "b.parquet", "deep/c.jsonl.zst", "deep/d.json.gz"]
    monkeypatch.chdir(home)
    assert names(Path("."), "data/deep/*.zst") == ["c.jsonl.zst"]
    assert names(home / "data" / "deep", "../*.jsonl", "*.zst") == ["a.jsonl", "deep/c.jsonl.zst"]


def test_files_come_in_the_order_of_the_globs_and_once(home: Path) -> None:
    found = names(home, "data/b.parquet", "data/*.*", "./data/../data/a.jsonl")
    assert found == ["b.parquet", "a.jsonl"]


def test_a_folder_that_matches_stands_for_its_files(home: Path) -> None:
    assert names(home, "data/*") == ["a.jsonl", "b.parquet", "deep/c.jsonl.zst", "deep/d.json.gz"]
    assert names(home, "data/dee*") == ["c.jsonl.zst", "d.json.gz"]


@pytest.mark.parametrize("place", ["elsewhere", "a [very] odd*place?", "deep/er/and/deeper"])
def test_names_and_digests_move_with_the_folder(home: Path, tmp_path: Path, place: str) -> None:
    before = facts(listed(home, "data/**/*.*"))
    moved = tmp_path / place
    moved.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(home, moved)
    assert facts(listed(moved, "data/**/*.*")) == before


def test_names_are_those_of_links_not_of_what_they_lead_to(home: Path, tmp_path: Path) -> None:
    """As in a hub cache: snapshots/<commit>/a.parquet leads to blobs/<sha256>."""
    before = facts(listed(home, "data/**/*.*"))
    for number, path in enumerate(sorted(p for p in home.rglob("*") if p.is_file())):
        blob = tmp_path / "blobs" / str(number)
        blob.parent.mkdir(exist_ok=True)
        path.rename(blob)
        path.symlink_to(blob)
    assert facts(listed(home, "data/**/*.*")) == before


def test_a_folder_reached_by_a_link(home: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(home / "data" / "deep")
    assert facts(listed(tmp_path / "link", "../*.jsonl")) == facts(listed(home, "data/*.jsonl"))


def test_a_glob_without_a_match_says_where_it_looked(home: Path) -> None:
    with pytest.raises(RecipeError, match=rf"'web'.*'data/\*\.csv' matches nothing under {home}"):
        listed(home, "data/*.jsonl", "data/*.csv")


@pytest.mark.parametrize("file", ["a.jsonl", "b.parquet", "deep/c.jsonl.zst", "deep/d.json.gz"])
def test_a_missing_column_lists_those_found(home: Path, file: str) -> None:
    listing = listed(home, f"data/{file}")
    check_columns(Source("web", 1, id="id"), listing.files[0])
    with pytest.raises(
        RecipeError, match=r"'web': no column 'body' in .*; found id, text; did you mean text = \"text\"\?"
    ):
        check_columns(Source("web", 1, text="body"), listing.files[0])
    with pytest.raises(RecipeError, match="no column 'url'"):
        check_columns(Source("web", 1, url="url"), listing.files[0])


@pytest.mark.parametrize("file", ["a.jsonl", "b.parquet", "deep/c.jsonl.zst", "deep/d.json.gz"])
@pytest.mark.parametrize("unit_bytes", [1, 1000, 10**9])
def test_any_kind_of_file_gives_the_same_texts(home: Path, file: str, unit_bytes: int) -> None:
    source = Source("web", 1)
    (found,) = listed(home, f"data/{file}").files
    assert texts(source, found, unit_bytes) == TEXTS


def test_a_compressed_line_file_is_one_unit(home: Path) -> None:
    (file,) = listed(home, "data/deep/*.zst").files
    assert [unit.name for unit in split_units(Source("web", 1), file, 100)] == [f"c.jsonl.zst:0-{file.size}"]


@pytest.mark.parametrize("file", ["a.jsonl", "b.parquet", "deep/c.jsonl.zst", "deep/d.json.gz"])
def test_a_file_that_changed_its_size_or_went_is_refused(home: Path, file: str) -> None:
    source, path = Source("web", 1), home / "data" / file
    (found,) = listed(home, f"data/{file}").files
    (unit, *_) = split_units(source, found, 10**9)
    os.truncate(path, found.size - 1)
    with pytest.raises(DataError, match=rf"{path}: found {found.size - 1:,} bytes, expected {found.size:,} bytes"):
        list(read(source, unit))
    path.unlink()
    with pytest.raises(DataError, match=rf"{path}: found no file"):
        list(read(source, unit))


def test_an_unknown_kind_of_file_is_refused(home: Path) -> None:
    (home / "data" / "a.docx").write_text("text\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"cannot read a\.docx; expected \.parquet or \.pq"):
        listed(home, "data/a.docx")
    file = SourceFile("a.docx", str(home / "data" / "a.docx"), 5, None)
    for refuse in (lambda: check_columns(Source("web", 1), file), lambda: split_units(Source("web", 1), file, 100)):
        with pytest.raises(RecipeError, match=r"a\.docx.*expected \.parquet or \.pq"):
            refuse()


def test_only_named_columns_are_named() -> None:
    assert Source("web", 1).columns == ("text",)
    assert Source("web", 1, text="body", id="at", url="at").columns == ("body", "at")


def test_a_source_that_cannot_be_read_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    """Read inside of a file that is being written, as `prepare` does."""
    unit = Unit(SourceFile("a.jsonl", "/proc/self/mem", 0, None), 0, 100, 100)  # opens, and gives EIO when it is read
    with pytest.raises(SourceUnavailableError, match="cannot read /proc/self/mem"), atomic_write(tmp_path / "unit"):
        list(read(Source("web", 1), unit))


SCORES = [3, 2, None, 4, float("nan"), 2.99]


def scored(folder: Path) -> list[SourceFile]:
    texts = [f"text {i}" for i in range(len(SCORES))]
    pq.write_table(pa.table({"text": texts, "score": pa.array(SCORES, pa.float64())}), folder / "a.parquet")
    rows = [json.dumps({"text": text, "score": score}) for text, score in zip(texts, SCORES, strict=True)]
    rows += ['{"text": "no score"}', '{"text": "nine", "score": "9"}', '{"text": "t", "score": "?"}']
    (folder / "b.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return list(list_files(Source("web", 1, ("*.parquet", "*.jsonl")), folder).files)


def test_documents_below_the_least_score_are_dropped_under_the_columns_name(tmp_path: Path) -> None:
    source = Source("web", 1, ("*",), at_least={"score": 3})
    parquet, lines = scored(tmp_path)
    low = "low_score"
    for file, wanted in (
        (parquet, [None, low, low, None, low, low]),
        (lines, [None, low, low, None, low, low, low, None, "score_not_a_number"]),
    ):
        found = [batch for unit in split_units(source, file, 1 << 20) for batch in read(source, unit)]
        assert [fault for batch in found for fault in batch.column("fault").to_pylist()] == wanted
        kept = [text for batch in found for text in batch.column("text").to_pylist() if text]
        assert kept == (["text 0", "text 3"] if file is parquet else ["text 0", "text 3", "nine"])


def test_scores_are_read_from_their_columns_only_and_must_be_numbers(tmp_path: Path) -> None:
    parquet, _ = scored(tmp_path)
    with pytest.raises(RecipeError, match="no column 'int_score' in a.parquet; found score, text"):
        check_columns(Source("web", 1, ("*",), at_least={"int_score": 3}), parquet)
    assert Source("web", 1, ("*",), at_least={"score": 3}).columns == ("text", "score")
    pq.write_table(pa.table({"text": ["a"], "day": [date(2026, 1, 1)]}), tmp_path / "days.parquet")
    source = Source("web", 1, ("days.parquet",), at_least={"day": 3})
    (days,) = list_files(source, tmp_path).files
    with pytest.raises(DataError, match="at_least or below: column 'day' holds date32.*, expected numbers"):
        list(read(source, split_units(source, days, 1 << 20)[0]))

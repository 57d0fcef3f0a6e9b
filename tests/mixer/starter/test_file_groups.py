"""Which sources `init` makes of files, folders, globs and addresses, and what they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpts_data.mixer.starter.file_groups import find_sources, valid_name
from gpts_data.pipelines.errors import RecipeError, UsageError
from gpts_data.pipelines.readers.local_files import local_files


def found(folder: Path, files: list[str], *arguments: str) -> dict[str, tuple[str, ...]]:
    """The sources of a folder with these files, by name, for a recipe beside it."""
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x", encoding="utf-8")
    sources = find_sources([str(folder / argument) for argument in arguments or ["."]], folder)
    for source in sources:
        assert local_files(source, folder), source.files
    return {source.name: source.files for source in sources}


def test_files_whose_names_differ_in_numbers_are_one_source(tmp_path: Path) -> None:
    files = ["wiki/train-00000-of-00002.parquet", "wiki/train-00001-of-00002.parquet", "wiki/books.parquet"]
    assert found(tmp_path, files) == {"books": ("wiki/books.parquet",), "wiki": ("wiki/train-*-of-*.parquet",)}


def test_a_glob_matches_all_files_of_a_folder_and_kind_if_they_are_one_source(tmp_path: Path) -> None:
    files = ["news/data/000_00000.parquet", "news/data/000_00001.parquet", "a1.jsonl", "a2.jsonl.gz"]
    assert found(tmp_path, files) == {"a": ("*.jsonl", "*.jsonl.gz"), "news": ("news/data/*.parquet",)}


def test_files_given_one_by_one_are_named_one_by_one_if_a_glob_would_match_more(tmp_path: Path) -> None:
    files = ["p/part-1.jsonl", "p/part-2.jsonl", "p/part-3.jsonl"]
    assert found(tmp_path, files, "p/part-1.jsonl", "p/part-3.jsonl") == {"p": ("p/part-1.jsonl", "p/part-3.jsonl")}


def test_names_are_valid_and_unique(tmp_path: Path) -> None:
    names = found(tmp_path, ["x/Zoë & more.csv", "y/zoe_more.csv", "z/zoe-MORE.JSONL", "z/日本.jsonl"])
    assert names == {
        "Zoe-more": ("x/Zoë & more.csv",),
        "zoe_more": ("y/zoe_more.csv",),
        "zoe-MORE-2": ("z/zoe-MORE.JSONL",),
        "source": ("z/日本.jsonl",),
    }
    assert valid_name("../..") == "source" and len(valid_name("x" * 500)) <= 100


def test_a_folder_with_brackets_in_its_name(tmp_path: Path) -> None:
    assert found(tmp_path, ["[a] b/x1.csv", "[a] b/x2.csv"]) == {"x": ("[a] b/x1.csv", "[a] b/x2.csv")}


def test_texts_of_a_folder_are_one_source_and_those_beside_tables_are_left_out_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = ["novels/emma.txt", "novels/persuasion.txt", "web/a.parquet", "web/readme.txt", "web/x.pdf"]
    assert found(tmp_path, files) == {"novels": ("novels/*.txt",), "a": ("web/a.parquet",)}
    assert "readme.txt, x.pdf are left out" in caplog.text


def test_very_many_names_or_folders_become_one_source(tmp_path: Path) -> None:
    many = [f"one/{letter}.jsonl" for letter in "abcdefghij"]
    assert found(tmp_path / "1", many) == {"one": ("one/*.jsonl",)}
    folders = [f"crawl/{letter}/x.jsonl" for letter in "abcdefghijklmnopqrst"]
    assert found(tmp_path / "2", folders, "crawl") == {"crawl": ("crawl/**/*.jsonl",)}


def test_addresses(tmp_path: Path) -> None:
    sources = find_sources(
        [
            "hf://acme/web",
            "hf://acme/web@abc/en-10BT",
            "hf://datasets/acme/code/py/*.parquet",
            "s3://b/logs/data/*.csv",
        ],
        tmp_path,
    )
    assert [(s.name, s.dataset, s.config, s.revision, s.files) for s in sources] == [
        ("web", "acme/web", None, None, ()),
        ("web-2", "acme/web", "en-10BT", "abc", ()),
        ("code", "acme/code", None, None, ("py/*.parquet",)),
        ("logs", None, None, None, ("s3://b/logs/data/*.csv",)),
    ]


def test_what_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "thesis.pdf").write_bytes(b"x")
    for argument, error, message in (
        (str(tmp_path / "none"), UsageError, "no such file or folder"),
        (str(tmp_path / "*.csv"), RecipeError, "matches nothing"),
        (str(tmp_path / "thesis.pdf"), RecipeError, "cannot read thesis.pdf"),
        (str(tmp_path), RecipeError, "holds only thesis.pdf"),
        ("hf://acme", UsageError, "expected hf://owner/name"),
    ):
        with pytest.raises(error, match=message):
            find_sources([argument], tmp_path)

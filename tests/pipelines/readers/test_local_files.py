"""What `files =` names: nothing that matches is left out without a word."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from gpts_data.pipelines.errors import RecipeError
from gpts_data.pipelines.readers.globs import expand_braces
from gpts_data.pipelines.readers.local_files import local_files
from gpts_data.pipelines.readers.reader import list_files
from gpts_data.pipelines.readers.source import Source


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x", encoding="utf-8")


def names(folder: Path, *patterns: str, split: str = "train") -> list[str]:
    paths = local_files(Source("web", 1, patterns, split=split), folder)
    return [os.path.relpath(path, folder) for path in paths]


def test_a_folder_stands_for_all_that_can_be_read_below_it(tmp_path: Path) -> None:
    touch(tmp_path, "d/b.jsonl", "d/a.PQ", "d/deep/er/c.csv.gz", "e/z.jsonl")
    for pattern in ("d", "d/", str(tmp_path / "d"), "./e/../d"):
        assert names(tmp_path, pattern) == ["d/a.PQ", "d/b.jsonl", "d/deep/er/c.csv.gz"]
    assert names(tmp_path, "d/deep", "d") == ["d/deep/er/c.csv.gz", "d/a.PQ", "d/b.jsonl"]


def test_bookkeeping_and_hidden_files_are_no_data(tmp_path: Path) -> None:
    touch(tmp_path, "d/part-0.parquet", "d/_SUCCESS", "d/.part-0.parquet.crc", "d/_temporary/0/part-1.parquet")
    touch(tmp_path, "d/part-0.parquet.crc", "d/.cache/x.parquet", "d/_committed_1", "d/_train.parquet")
    assert names(tmp_path, "d") == names(tmp_path, "d/*") == ["d/_train.parquet", "d/part-0.parquet"]
    assert names(tmp_path, "d/**/*.parquet") == names(tmp_path, "**/*.parquet") == names(tmp_path, "d")
    assert names(tmp_path, "d/_temporary/*/*.parquet") == ["d/_temporary/0/part-1.parquet"]
    assert names(tmp_path / "d/.cache", "../.cache/*.parquet") == ["x.parquet"]


def test_a_folder_named_as_a_file_is_read(tmp_path: Path) -> None:
    """Spark writes a folder web.parquet with the files in it."""
    touch(tmp_path, "d/web.parquet/part-0.parquet", "d/web.parquet/_SUCCESS", "d/books.parquet")
    assert names(tmp_path, "d/*.parquet") == ["d/books.parquet", "d/web.parquet/part-0.parquet"]
    (tmp_path / "d/empty.parquet").mkdir()
    with pytest.raises(RecipeError, match=r"'d/\*\.parquet': the folder .*empty\.parquet holds no files; expected"):
        names(tmp_path, "d/*.parquet")


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/a\xff.jsonl"
    try:
        with open(path, "wb") as file:
            file.write(b"{}")
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    with pytest.raises(
        RecipeError, match=r"source 'web': the file name 'a\\udcff\.jsonl' is not UTF-8; rename the file"
    ):
        list_files(Source("web", 1, ("*.jsonl",)), tmp_path)


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs /proc")
@pytest.mark.parametrize("pattern", ["d/b.txt", "d/*.txt", "d"])
def test_a_link_to_the_state_of_a_process_is_refused(tmp_path: Path, pattern: str) -> None:
    touch(tmp_path, "d/a.txt")
    (tmp_path / "d/b.txt").symlink_to("/proc/self/environ")
    with pytest.raises(RecipeError, match="names what the kernel shows of this machine"):
        names(tmp_path, pattern)


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.jsonl", "e/a.jsonl")
    (tmp_path / "d/b.jsonl").symlink_to("gone.jsonl")
    for pattern in ("d/*.jsonl", "d/b.jsonl", "d"):
        with pytest.raises(RecipeError, match=r"'web'.*d/b\.jsonl is .*a file that does not exist"):
            names(tmp_path, pattern)
    (tmp_path / "e/loop").symlink_to(tmp_path / "e")
    assert names(tmp_path, "e") == ["e/a.jsonl"]


def test_files_that_cannot_be_read_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "d/a.jsonl", "d/README.md", "d/1.docx", "d/2.docx", "d/3.docx", "d/4.docx")
    with pytest.raises(RecipeError, match=r"cannot read 1\.docx, 2\.docx, 3\.docx and 2 more; expected \.parquet or"):
        names(tmp_path, "d/*")
    with pytest.raises(RecipeError, match=r"cannot read README\.md; expected .* \.csv, \.tsv or \.txt.*\.gz, \.zst"):
        names(tmp_path, "d/README.md")
    with caplog.at_level(logging.WARNING, "gpts_data"):
        assert names(tmp_path, "d") == ["d/a.jsonl"]
    assert "cannot read 1.docx, 2.docx, 3.docx and 2 more" in caplog.text
    os.remove(tmp_path / "d/a.jsonl")
    with pytest.raises(RecipeError, match=r"the folder .*d holds only 1\.docx.*and 2 more; expected \.parquet"):
        names(tmp_path, "d")


def test_a_fifo_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    for pattern in ("a.jsonl", "*.jsonl"):
        with pytest.raises(RecipeError, match=r"a\.jsonl is no regular file"):
            names(tmp_path, pattern)


def test_text_files_beside_tables_are_asked_about(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.parquet", "d/LICENSE.txt", "t/a.txt", "t/b.txt.gz")
    with pytest.raises(RecipeError, match=r"tables \(a\.parquet\) and text files \(LICENSE\.txt\).*files = "):
        names(tmp_path, "d")
    assert names(tmp_path, "t") == ["t/a.txt", "t/b.txt.gz"]
    assert names(tmp_path, "d/*.parquet", "t/*") == ["d/a.parquet", "t/a.txt", "t/b.txt.gz"]


def test_a_files_own_name_comes_before_a_glob(tmp_path: Path) -> None:
    touch(tmp_path, "data[1].jsonl", "data1.jsonl", "a{b,c}.jsonl", "ab.jsonl")
    assert names(tmp_path, "data[1].jsonl") == ["data[1].jsonl"]
    assert names(tmp_path, "a{b,c}.jsonl") == ["a{b,c}.jsonl"]
    os.remove(tmp_path / "data[1].jsonl")
    assert names(tmp_path, "data[1].jsonl") == ["data1.jsonl"]


def test_braces_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert expand_braces("a{b,c{d,e}}{f,}{g}") == ["abf{g}", "ab{g}", "acdf{g}", "acd{g}", "acef{g}", "ace{g}"]
    touch(tmp_path, "a/1.jsonl", "b/1.jsonl", "b/2.csv")
    assert names(tmp_path, "{b,a}/*.{jsonl,csv}") == ["b/1.jsonl", "b/2.csv", "a/1.jsonl"]
    with pytest.raises(RecipeError, match=r"\{c,d\}/\*' matches nothing under "):
        names(tmp_path, "{c,d}/*")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert names(tmp_path / "a", "~/b/*.csv") == ["../b/2.csv"]


def test_a_saved_dataset_that_is_not_whole(tmp_path: Path) -> None:
    touch(tmp_path, "d/data-0.arrow", "d/cache-1.arrow")
    (tmp_path / "d/state.json").write_text('{"_data_files": [{"filename": "data-0.arrow"}]}', encoding="utf-8")
    assert names(tmp_path, "d") == ["d/data-0.arrow"]
    os.remove(tmp_path / "d/data-0.arrow")
    with pytest.raises(RecipeError, match=r"data-0\.arrow is missing"):
        names(tmp_path, "d")
    touch(tmp_path, "splits/train/a.arrow")
    (tmp_path / "splits/dataset_dict.json").write_text('{"splits": ["train", "test"]}', encoding="utf-8")
    assert names(tmp_path, "splits") == ["splits/train/a.arrow"]
    with pytest.raises(RecipeError, match="has no split 'dev'; found train, test"):
        names(tmp_path, "splits", split="dev")

"""Odd `files =`: they are read, or `plan` and `build-mix` name the same fault with the same exit code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.readers.small_files import MANY

N = 30
RECIPE = """
name = "case"
tokens = {tokens}
window = 64
clean.filters = []
dedup.minhash = false
validation.fraction = 0.0
[[source]]
name = "s"
weight = 1
files = "{files}"
"""


def texts(name: str, n: int = N) -> list[str]:
    return [f"Document {i} of {name} says that the river rose to {i * i} and fell again." for i in range(n)]


def parquet(path: Path, name: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"text": texts(name)}), path)


def folder_named_as_file(home: Path) -> str:
    parquet(home / "d/books.parquet", "books")
    parquet(home / "d/web.parquet/part-0.parquet", "web")
    (home / "d/web.parquet/_SUCCESS").touch()
    return "d/*.parquet"


def json_array(home: Path) -> str:
    (home / "a.json").write_text(json.dumps([{"text": text} for text in texts("a")], indent=1), encoding="utf-8")
    return "a.json"


def csv(home: Path) -> str:
    (home / "a.csv").write_text(
        "id,text\n" + "".join(f'{i},"{text}\nEnd"\n' for i, text in enumerate(texts("a"))), encoding="utf-8"
    )
    return "a.csv"


def text_files(home: Path) -> str:
    (home / "t").mkdir()
    for i, text in enumerate(texts("t")):
        (home / f"t/{i:02d}.txt").write_text(text, encoding="utf-8")
    return "t"


def dangling_link(home: Path) -> str:
    parquet(home / "d/a.parquet", "a")
    (home / "d/b.parquet").symlink_to("gone")
    return "d/*.parquet"


def unknown_kind(home: Path) -> str:
    parquet(home / "d/a.parquet", "a")
    (home / "d/b.docx").touch()
    return "d/*"


def nothing(home: Path) -> str:
    return "d/*"


def broken_row(home: Path) -> str:
    (home / "a.csv").write_text(
        "id,text\n" + "".join(f"{i},{text}\n" for i, text in enumerate(texts("a"))) + "1\n", encoding="utf-8"
    )
    return "a.csv"


def other_column(home: Path) -> str:
    parquet(home / "d/a.parquet", "a")
    (home / "d/b.csv").write_text("body\na\n", encoding="utf-8")
    return "d"


READ: list[tuple[Callable[[Path], str], int]] = [
    (folder_named_as_file, 2 * N),
    (json_array, N),
    (csv, N),
    (text_files, N),
]
REFUSED: list[tuple[Callable[[Path], str], int, str]] = [
    (dangling_link, 2, "b.parquet is a link to a file that does not exist"),
    (unknown_kind, 2, "cannot read b.docx; expected .parquet"),
    (nothing, 2, "matches nothing under"),
    (broken_row, 3, "a.csv:30: not as many fields as the header"),
    (other_column, 2, "no column 'text' in b.csv; found body"),
]


def run(home: Path, files: str, command: str, *options: object, tokens: int = 512) -> tuple[int, str]:
    (home / "recipe.toml").write_text(RECIPE.format(files=files, tokens=tokens), encoding="utf-8")
    arguments = [command, "--recipe", home / "recipe.toml", *options]
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(("case", "documents"), READ)
def test_odd_files_are_read(case: Callable[[Path], str], documents: int, mix: Mix, tmp_path: Path) -> None:
    files = case(tmp_path)
    options = ("--out", tmp_path / "mix", "--tokenizer", mix.path / "tokenizer")
    code, output = run(tmp_path, files, "build-mix", *options, tokens=40 * documents)
    assert code == 0, output
    manifest = json.loads((tmp_path / "mix/manifest.json").read_bytes())
    assert manifest["waterfall"]["s"]["read"] == documents
    assert run(tmp_path, files, "plan")[0] == 0
    assert CliRunner().invoke(cli, ["verify", str(tmp_path / "mix")]).exit_code == 0


@pytest.mark.parametrize(("case", "code", "message"), REFUSED)
def test_plan_and_build_name_the_same_fault(
    case: Callable[[Path], str], code: int, message: str, mix: Mix, tmp_path: Path
) -> None:
    files = case(tmp_path)
    options = ("--out", tmp_path / "mix", "--tokenizer", mix.path / "tokenizer")
    for found, output in (run(tmp_path, files, "plan"), run(tmp_path, files, "build-mix", *options)):
        assert (found, message in output) == (code, True), output
    assert not os.path.exists(tmp_path / "mix/manifest.json")


def test_a_file_of_zero_bytes_is_none_of_the_files_read(mix: Mix, tmp_path: Path) -> None:
    write = {"a": texts("a", 20), "b": [], "c": texts("c", 20)}
    for name, lines in write.items():
        (tmp_path / f"{name}.jsonl").write_text(
            "".join(json.dumps({"text": text}) + "\n" for text in lines), encoding="utf-8"
        )
    options = ("--out", tmp_path / "mix", "--tokenizer", mix.path / "tokenizer")
    assert run(tmp_path, "?.jsonl", "build-mix", *options, tokens=1200)[0] == 0
    source = json.loads((tmp_path / "mix/manifest.json").read_bytes())["sources"]["s"]
    assert (source["files_read"], source["files_total"]) == (2, 2)


def test_many_small_files_are_one_unit_and_stay_traceable(mix: Mix, tmp_path: Path) -> None:
    n = 2 * MANY
    (tmp_path / "t").mkdir()
    for i, text in enumerate(texts("t", n)):
        (tmp_path / f"t/{i:03d}.txt").write_text("" if i == 1 else "Short." if i == 7 else text, encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(
        RECIPE.format(files="t", tokens=4096) + "[source.clean]\nmin_characters = 20\n", encoding="utf-8"
    )
    out = tmp_path / "mix"
    arguments = ("--recipe", tmp_path / "recipe.toml", "--out", out, "--tokenizer", mix.path / "tokenizer")
    assert CliRunner().invoke(cli, ["build-mix", *map(str, arguments)]).exit_code == 0
    source = json.loads((out / "manifest.json").read_bytes())["sources"]["s"]
    assert [file["name"] for file in source["files"]] == [f"{i:03d}.txt" for i in range(n)]
    assert source["files_read"] >= n - 2 and source["files_total"] == n - 1
    planned = CliRunner().invoke(cli, ["plan", "--recipe", str(tmp_path / "recipe.toml"), "--json"])
    assert planned.exit_code == 0, planned.output
    assert CliRunner().invoke(cli, ["verify", str(out)]).exit_code == 0
    for document, found in (
        ("050.txt:0", "002.txt..198..199.txt:0-"),
        ("007.txt:0", "characters: 6, expected at least 20"),
    ):
        traced = CliRunner().invoke(cli, ["trace", str(out), "--document", document, "--sources", str(tmp_path)])
        assert traced.exit_code == 0 and found in traced.output, traced.output

"""The commands as programs see them: exit codes, one JSON object on stdout, the promised keys."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.outcomes import find_dropped
from tests.conftest import WriteRecipe


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def object_of(result: Result) -> dict[str, Any]:
    """The one object on stdout; anything else there fails to parse."""
    value: dict[str, Any] = json.loads(result.stdout)
    return value


@pytest.mark.parametrize("name", list(cli.commands))
def test_every_command_has_help_with_an_example(name: str) -> None:
    for flag in ("-h", "--help"):
        result = run(name, flag)
        assert result.exit_code == 0
        assert f"Example: gpts-data {name}" in result.stdout


def test_build_inspect_trace_verify(recipe_file: Path, mix: Mix, tmp_path: Path) -> None:
    out = tmp_path / "mix"
    built = run("build-mix", "--recipe", recipe_file, "--out", out, "--json")
    assert built.exit_code == 0
    assert object_of(built)["root_digest"] == mix.manifest["root_digest"]
    assert object_of(built)["built"] is True
    slow = run("build-mix", "--recipe", recipe_file, "--out", tmp_path / "slow", "--encoder", "tokenizers", "--json")
    assert object_of(slow)["root_digest"] == mix.manifest["root_digest"]
    again = run("build-mix", "--recipe", recipe_file, "--out", out, "--json")
    assert object_of(again)["built"] is False

    facts = object_of(run("inspect", out, "--json"))
    assert {"windows", "tokens", "shards", "sources", "waterfall"} <= facts.keys()
    assert all({"windows", "tokens", "documents", "share", "epochs"} <= s.keys() for s in facts["sources"].values())
    assert all(fall.keys() >= {"read", "kept", "dropped"} for fall in facts["waterfall"].values())
    assert list(facts["sources"]) == list(facts["waterfall"]) == ["web", "books", "notes"]

    origin = object_of(run("trace", out, "--token", 700, "--json"))
    assert {"source", "document_id", "url", "unit", "document_token_offset", "text"} <= origin.keys()
    assert object_of(run("trace", out, "--shard", 0, "--row", 10, "--json"))["token"] == 640
    assert [object_of(run("trace", out, "--token", n, "--json"))["token"] for n in ("0", "1k")] == [0, 1000]

    assert object_of(run("verify", out, "--json")) == {"ok": True, "problems": []}


def test_verify_exits_6_and_names_the_file(mix: Mix, tmp_path: Path) -> None:
    shutil.copytree(mix.path, tmp_path / "mix")
    (tmp_path / "mix/shards/train-00001.bin").unlink()
    result = run("verify", tmp_path / "mix", "--json")
    assert result.exit_code == 6
    assert object_of(result) == {
        "ok": False,
        "problems": [{"file": "shards/train-00001.bin", "problem": "missing, expected 12,800 bytes"}],
    }
    assert "shards/train-00001.bin: missing" in run("verify", tmp_path / "mix").stdout


def test_export(mix: Mix, tmp_path: Path) -> None:
    facts = object_of(run("export", mix.path, "--format", "datatrove", "--out", tmp_path / "out", "--json"))
    assert facts["exported"] is True and "train/train-00000.ds" in facts["linked"]
    assert facts["files"][0].keys() == {"file", "bytes", "sha256"} and facts["windows"] == mix.windows
    shown = run("export", mix.path, "--format", "datatrove", "--out", tmp_path / "out")
    assert shown.exit_code == 0 and "already holds this export" in shown.stdout and "(hard link)" in shown.stdout
    assert run("export", mix.path, "--format", "nanogpt", "--out", tmp_path / "out").exit_code == 2
    unknown = run("export", mix.path, "--format", "Lmc", "--out", tmp_path / "new")
    assert unknown.exit_code == 2 and "'Lmc' is unknown; did you mean llmc?" in unknown.stderr
    assert run("export", mix.path, "--format", "DataTrove", "--out", tmp_path / "out").exit_code == 0
    assert run("export", tmp_path, "--format", "nanogpt", "--out", tmp_path / "new").exit_code == 2


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("seed =", "sead =", 2),
        ('id = "id"', 'id = "identity"', 2),
        ("corpus/books.jsonl", "corpus/boks.jsonl", 2),
        ("weight = 55", "weight = 0", 2),
        ('tokens = "20k"', 'tokens = "3M"', 3),
    ],
)
def test_bad_recipes_exit_with_one_message_and_nothing_written(
    old: str, new: str, code: int, write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    result = run("build-mix", "--recipe", write_recipe(edit=((old, new),)), "--out", tmp_path / "mix")
    assert result.exit_code == code
    said = result.stderr.splitlines()
    *lines, last = said[said[0].startswith(str(tmp_path)) :]  # without what it begins to do
    assert lines[0].startswith("gpts-data: ")
    assert len(lines) == (2 if code == 3 else 1)  # a line for each source that is too short
    assert last.startswith("Next: ") and "gpts-data plan --recipe " in last
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_usage_errors_exit_2(mix: Mix, tmp_path: Path) -> None:
    for arguments in (
        ("build-mix", "--recipe", "gpt-s-9m", "--out", tmp_path / "x"),
        ("build-mix", "--recipe", tmp_path / "none.toml", "--out", tmp_path / "x"),
        ("build-mix", "--tokens", "25Q", "--out", tmp_path / "x"),
        ("build-mix", "--workers", "0", "--out", tmp_path / "x"),
        ("inspect", tmp_path),
        ("inspect", mix.path, "--window", "313"),
        ("trace", mix.path),
        ("trace", mix.path, "--token", "1", "--shard", "0", "--row", "0"),
        ("verify", tmp_path / "none"),
    ):
        assert run(*arguments).exit_code == 2, arguments


def test_train_tokenizer(recipe_file: Path, mix: Mix, tmp_path: Path) -> None:
    facts = object_of(run("train-tokenizer", "--recipe", recipe_file, "--out", tmp_path / "t", "--json"))
    assert facts["digest"] == mix.manifest["tokenizer"]["digest"]
    small = run("train-tokenizer", "--recipe", recipe_file, "--out", tmp_path / "s", "--vocab-size", "300", "--json")
    assert object_of(small)["vocab_size"] == 300
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer.tiktoken",
        "tokenizer_config.json",
        "training.json",
        "vocabulary.txt",
    ]
    assert object_of(run("train-tokenizer", "--recipe", recipe_file, "--out", tmp_path / "t", "--json")) == facts
    other = run("train-tokenizer", "--recipe", recipe_file, "--out", tmp_path / "t", "--vocab-size", "300")
    assert other.exit_code == 2 and "another recipe" in other.stderr


def test_what_people_see(mix: Mix) -> None:
    shown = run("inspect", mix.path).stdout
    assert "unexplained" in shown and "near_duplicate" in shown and mix.manifest["root_digest"] in shown
    assert run("inspect", mix.path, "--window", "0").stdout.startswith("window 0: shards/train-00000.bin row 0")
    assert "document_id" in run("trace", mix.path, "--token", "5").stdout
    assert run("verify", mix.path).stdout == f"{mix.path}: ok\n"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [("gpts-data bui", ["plain,build-mix"]), ("gpts-data build-mix --keep-u", ["plain,--keep-units"])],
)
def test_the_shell_completes(typed: str, completed: list[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_GPTS_DATA_COMPLETE": "bash_complete"}
    assert CliRunner().invoke(cli, prog_name="gpts-data", env=words).output.split() == completed


def test_what_cannot_be_a_report_is_refused(mix: Mix, tmp_path: Path) -> None:
    fifo, link = tmp_path / "fifo", tmp_path / "link.html"
    os.mkfifo(fifo)
    for target in ("-", fifo, mix.path / "report.html"):
        refused = run("inspect", mix.path, "--html", target)
        assert refused.exit_code == 2 and "choose" in refused.stderr
    assert fifo.is_fifo() and not (mix.path / "report.html").exists()
    link.symlink_to(tmp_path / "real.html")
    assert run("inspect", mix.path, "--html", link).exit_code == 0
    assert link.is_symlink() and (tmp_path / "real.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert run("inspect", mix.path, "--run", tmp_path).exit_code == 2


def test_the_demo_says_at_once_that_it_cannot_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpts_data.cli.train.find_spec", lambda name: None)
    refused = run("demo", "--out", tmp_path / "demo")
    assert refused.exit_code == 2 and "training needs torch: pip install 'gpts-data[train]'" in refused.stderr
    assert not (tmp_path / "demo").exists()


def test_no_name_is_markup_or_cut(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = write_recipe(edit=(('name = "tiny"', 'name = "a [/x] [bold]b"'),))
    built = run("build-mix", "--recipe", recipe, "--out", tmp_path / "mix")
    assert built.exit_code == 0 and "a [/x] [bold]b" in built.stdout
    planned = CliRunner(env={"COLUMNS": "30"}).invoke(cli, ["plan", "--recipe", str(recipe)])
    assert planned.exit_code == 0 and "\N{HORIZONTAL ELLIPSIS}" not in planned.stdout


def test_a_folder_named_like_a_preset_is_not_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample").mkdir()
    monkeypatch.chdir(tmp_path)
    assert run("plan", "--recipe", "sample", "--tokens", "300k").exit_code == 0
    assert run("plan", "--recipe", ".").exit_code == 2


def test_trace_says_what_became_of_a_document(mix: Mix, home: Path) -> None:
    origin = object_of(run("trace", mix.path, "--token", 700, "--json"))
    result = object_of(run("trace", mix.path, "--document", origin["document_id"], "--json"))
    keys = {"source", "document_id", "url", "unit", "document_token_offset", "text", "outcome", "detail"}
    assert keys <= result.keys() and result["documents"][0].items() <= result.items()
    assert (result["outcome"], result["text"]) == ("kept", origin["text"])
    assert "of the training order" in run("trace", mix.path, "--document", origin["document_id"]).stdout
    dropped = next(f"web-{i}" for i in range(240) if list(find_dropped(mix, f"web-{i}")))
    shown = run("trace", mix.path, "--document", dropped, "--sources", home)
    assert shown.exit_code == 0 and "outcome  " in shown.stdout and "detail  " in shown.stdout
    assert run("trace", mix.path, "--document", "nobody").exit_code == 2


def test_an_error_without_a_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr("gpts_data.validation.verify.verify", fail)
    result = run("verify", tmp_path)
    assert result.exit_code == 5
    assert "gpts-data: ConnectionResetError: no reason was given" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "exit_code"),
    [
        (["inspect", "nowhere", "--json"], "UsageError", 2),
        (["plan", "--recipe", "nowhere.toml", "--json"], "RecipeError", 2),
        (["verify", "--json", "--no-such-option", "x"], "UsageError", 2),
    ],
    ids=str,
)
def test_an_error_is_one_object_for_programs(arguments: list[str], kind: str, exit_code: int) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == exit_code
    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == (kind, exit_code)
    assert error["message"].splitlines()[0] in done.stderr
    assert not CliRunner().invoke(cli, [name for name in arguments if name != "--json"]).stdout

"""What a stranger wrote commands no terminal, and no build is lost to a stream that is closed, full or gone."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from rich.table import Table
from rich.text import Text

from gpts_data.cli.escaping_console import EscapingConsole
from gpts_data.cli.main import cli
from gpts_data.cli.terminal import prepare_streams
from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import StorageError
from gpts_data.pipelines.text.control_characters import escape, escape_line, has_control_characters

ROOT = Path(__file__).parents[2]
CLIPBOARD, TITLE, CLEAR = "\x1b]52;c;aGk=\x07", "\x1b]0;title\x1b\\", "\x1b[2J\x9b2J"
HOSTILE = f"{CLIPBOARD}{TITLE}{CLEAR}\rover\u202egnp.exe\u2066\u2028\x7f[bold]:skull:[/x]"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
PROGRAM = "import sys; from gpts_data.cli.main import cli; cli()"


def commands_no_terminal(printed: str) -> bool:
    """Whether nothing but text, tabs, line feeds and rich's colours was printed."""
    return escape(COLOUR.sub("", printed)) == COLOUR.sub("", printed)


def test_control_characters_become_visible_and_text_stays() -> None:
    assert (
        escape("a\tb\nc \N{SKULL} e\u0301 \u05d0 \u200d \U0010ffff")
        == "a\tb\nc \N{SKULL} e\u0301 \u05d0 \u200d \U0010ffff"
    )
    assert escape("\x1b[2J\r\n\x9b\u202e\udc80") == "\\x1b[2J\\r\n\\x9b\\u202e\\udc80"
    assert escape_line("a\nb\tc") == "a\\nb\\tc"
    controls = [chr(c) for c in range(0x110000) if chr(c) != escape_line(chr(c))]
    assert len(controls) == 65 + 2 + 12 + 1 + 2048 and all(map(has_control_characters, controls))
    assert commands_no_terminal(escape("".join(map(chr, range(0x110000)))))


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_prints_data_as_it_is_written(terminal: bool) -> None:
    file = io.StringIO()
    console = EscapingConsole(file=file, force_terminal=terminal, markup=False, highlight=False, emoji=False, width=400)
    table = Table(HOSTILE, "", title=Text(HOSTILE))
    table.add_row(HOSTILE, Text(HOSTILE, style="red"))
    console.print(HOSTILE, style="yellow")
    console.print(table)
    printed = file.getvalue()
    assert commands_no_terminal(printed)
    assert printed.count("[bold]:skull:[/x]") == 5 and printed.count("\\x1b]52;c;aGk=") == 5


def test_nothing_is_printed_but_through_the_boundary() -> None:
    for path in sorted((ROOT / "cli").glob("*.py")):
        if path.name in ("terminal.py", "escaping_console.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                printed = ast.unparse(node)
                is_own = printed.startswith(("click.echo(json.dumps(", "click.echo(f'{mark}"))  # JSON, and a colour
                assert is_own or not re.match(r"(click\.s?echo|print|Console|sys\.std\w+\.write)\(", printed), printed


def test_commands_show_hostile_documents(mix: Mix, tmp_path: Path) -> None:
    ids = [f"{i}{HOSTILE}\n{i}" for i in range(60)]
    pages = [f"Page {i} {HOSTILE} of a book with {i * i} words, all of them read." for i in range(60)]
    texts = [pages[0], HOSTILE, *pages[2:]]
    table = {"text": texts, "id": ids, "url": [f"http://a/{name}" for name in ids]}
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    (tmp_path / "r.toml").write_text(
        'name = "[bold]r"\ntokens = 1024\nwindow = 64\nkeep_dropped = 2\nclean.min_characters = 90\n'
        "dedup.minhash = false\n"
        '[[source]]\nname = "a"\nweight = 1\nfiles = "a.parquet"\nid = "id"\nurl = "url"\n',
        encoding="utf-8",
    )
    recipe, out = ("--recipe", str(tmp_path / "r.toml")), str(tmp_path / "mix")
    tokenizer = ("--tokenizer", str(mix.path / "tokenizer"))
    for arguments in (
        ("plan", *recipe, *tokenizer),
        ("build-mix", *recipe, *tokenizer, "--out", out),
        ("inspect", out),
        ("inspect", out, "--window", "1"),
        ("trace", out, "--token", "70"),
        ("trace", out, "--document", ids[1], "--sources", str(tmp_path)),
        ("trace", out, "--document", HOSTILE),
        ("build-mix", "--recipe", HOSTILE, "--out", out),
        ("plan", "--tokens", HOSTILE),
        (HOSTILE,),
    ):
        result = CliRunner(env={"COLUMNS": "1000"}).invoke(cli, arguments)
        assert result.exit_code in (0, 2) and result.output, arguments
        assert commands_no_terminal(result.output), arguments
        as_json = CliRunner().invoke(cli, [*arguments, "--json"])
        assert commands_no_terminal(as_json.stdout)
    shown = CliRunner().invoke(cli, ["trace", out, "--token", "70", "--json"])
    assert HOSTILE in json.loads(shown.stdout)["document_id"]


def test_a_stream_that_fails_is_dropped_or_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None if name == "stdin" else open("/dev/full", "w", encoding="ascii"))  # noqa: SIM115
    prepare_streams()
    assert sys.stdin.read() == ""
    print("progress \N{SKULL}", file=sys.stderr, flush=True)
    read_end, write_end = os.pipe()
    os.close(read_end)
    monkeypatch.setattr(sys, "stderr", open(write_end, "w", encoding="ascii"))  # noqa: SIM115
    prepare_streams()
    print("progress", file=sys.stderr, flush=True)
    with pytest.raises(StorageError, match="cannot write to stdout: No space left"):
        print("result \N{SKULL}", flush=True)
    sys.stdout.flush()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "DIR", "--json"]])
def test_a_full_stdout_is_an_error(unbuffered: str, arguments: list[str], mix: Mix) -> None:
    words = [str(mix.path) if word == "DIR" else word for word in arguments]
    with open("/dev/full", "w", encoding="utf-8") as full:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert ended.returncode == 5
    assert re.fullmatch(r"gpts-data: cannot write to stdout: No space left .*\n(Next: gpts-data .*\n)?", ended.stderr)


@pytest.mark.parametrize("arguments", [("trace", "mix", "--document"), ("build-mix", "--out")])
def test_an_argument_that_is_not_text_is_refused(arguments: tuple[str, ...]) -> None:
    refused = CliRunner().invoke(cli, [*arguments, "na\udcff"])
    assert refused.exit_code == 2
    assert re.fullmatch(
        r"gpts-data: the argument 'na\\udcff' is not UTF-8; choose .*\nNext: gpts-data .* --help\n", refused.stderr
    )


def test_a_folder_whose_name_is_not_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("gpts_data.validation.verify.verify", lambda *_, **__: "/na\udcff/a".encode())
    refused = CliRunner().invoke(cli, ["verify", str(tmp_path)])
    assert refused.exit_code == 2
    assert (
        refused.stderr
        == "gpts-data: the name '/na\\udcff/a' is not UTF-8; rename that folder or file, or use another\n"
        "Next: gpts-data verify --help\n"
    )


def test_a_build_outlives_its_streams(recipe_file: Path, mix: Mix, tmp_path: Path) -> None:
    command = 'exec "$0" -c "$1" build-mix -v --recipe "$2" --out "$3" <&- >&- 2>/dev/full'
    arguments = (sys.executable, PROGRAM, str(recipe_file), str(tmp_path / "mix"))
    assert subprocess.run(["bash", "-c", command, *arguments]).returncode == 0
    manifest = json.loads((tmp_path / "mix/manifest.json").read_bytes())
    assert manifest["root_digest"] == mix.manifest["root_digest"]

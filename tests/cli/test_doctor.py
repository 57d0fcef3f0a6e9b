"""The command against a hub on loopback: exit codes, JSON, and no token anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gpts_data.cli.main import cli
from tests.support.datasets import used_here
from tests.support.hub import Handler, Hub

CANARY = "hf_" + "QXJZVKWQZJXVKQWZXJVKQZWXJVKQZW"
MAIN = "from gpts_data.cli.main import cli; cli(prog_name='gpts-data')"
RECIPE = """
name = "toy"
tokens = "20k"
[tokenizer]
sample = "40kB"
[[source]]
name = "web"
weight = 1
dataset = "acme/web"
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    with Hub(tmp_path / "hub") as hub:
        (hub.folder("acme/web") / "train.jsonl").write_text("{}\n", encoding="utf-8")
        yield hub


def doctor(hub: Hub, home: Path, *options: str, limit: int = 1024) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", f'ulimit -S -n {limit}; exec "$@"', "-", sys.executable, "-c", MAIN, "doctor"]
    return subprocess.run(
        [*command, "--recipe", "recipe.toml", *options],
        cwd=home,
        env={**hub.env(home / "hf"), "HF_TOKEN": CANARY},
        capture_output=True,
        text=True,
        timeout=60,
        encoding="utf-8",
    )


def by_name(done: subprocess.CompletedProcess[str] | Result) -> dict[str, Any]:
    value = json.loads(done.stdout)
    assert value.keys() == {"ok", "checks"}
    assert all(check.keys() == {"name", "ok", "found", "wanted", "advice"} for check in value["checks"])
    assert value["ok"] is all(check["ok"] for check in value["checks"])
    return {check["name"]: check for check in value["checks"]}


def spill(status: int) -> Any:
    """A hub that refuses, and says the token that it got wherever it can."""

    def fault(handler: Handler, path: str) -> bool:
        said = handler.headers["Authorization"]
        assert said == f"Bearer {CANARY}"
        handler.send(status, said.encode(), X_Error_Message=said, X_Error_Code=said, X_Warning=said)
        return True

    return fault


def everything(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout + done.stderr


def holds_token(text: str) -> bool:
    """Any six letters of it in a row are a part of it."""
    return any(CANARY[i : i + 6] in text for i in range(len(CANARY) - 5))


@pytest.mark.parametrize(
    ("state", "reason"), [("up", ""), ("down", "ConnectError"), ("401", "HTTP 401"), ("403", "HTTP 403")]
)
def test_the_token_is_never_shown(
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    state: str,
    reason: str,
) -> None:
    if state == "down":
        hub.stop()
    elif state != "up":
        hub.fault = spill(int(state))
    monkeypatch.chdir(tmp_path)
    with used_here(hub, tmp_path / "hf", HF_TOKEN=CANARY):
        for options in ((), ("--json",)):
            done = CliRunner().invoke(cli, ["doctor", "--recipe", "recipe.toml", *options])
            assert not holds_token("".join([done.stdout, done.stderr, *capfd.readouterr()]))
            assert "HF_TOKEN" in done.stdout and reason in done.stdout
            assert done.stderr == ""
    web = by_name(done)["hub acme/web"]
    assert (web["ok"], bool(web["advice"])) == (state == "up", state != "up")


def test_a_token_that_is_no_header_is_never_shown(hub: Hub, tmp_path: Path) -> None:
    """The client's message for it quotes the header."""
    environment = {**hub.env(tmp_path / "hf"), "HF_TOKEN": f"{CANARY}\x0cX"}
    command = [sys.executable, "-c", MAIN, "doctor", "--recipe", "recipe.toml"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, encoding="utf-8"
    )
    assert "FAIL  hub acme/web" in done.stdout
    assert not holds_token(everything(done))


def test_exit_codes(hub: Hub, tmp_path: Path) -> None:
    """0 well, 4 the hub alone, 1 anything of this machine, 2 a recipe that cannot be meant."""
    well = doctor(hub, tmp_path, "--json")
    others = {name for name, check in by_name(well).items() if not check["ok"]}
    assert others <= {"libraries"}, "a test environment may lag behind pyproject.toml"
    assert well.returncode == (1 if others else 0)
    limited = doctor(hub, tmp_path, "--json", limit=30)
    assert by_name(limited)["open files"]["ok"] is False
    assert limited.returncode == 1
    hub.stop()
    assert doctor(hub, tmp_path, "--json").returncode == (1 if others else 4)
    assert doctor(hub, tmp_path, "--json", "--tokens", "0").returncode == 2


def test_what_people_see(hub: Hub, tmp_path: Path) -> None:
    hub.stop()
    done = doctor(hub, tmp_path, "--tokens", "1T", "--workers", "3", "--out", "acme/mix")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert all(len(line) <= 80 or str(tmp_path) in line for line in lines)
    for i, line in enumerate(lines):
        assert line.startswith(("ok    ", "FAIL  ", "      "))
        if line.startswith("FAIL"):
            rest = lines[i + 1 :]
            advice = next(n for n, other in enumerate(rest) if other.startswith("      next: "))
            assert all(other.startswith("      ") for other in rest[:advice])
    assert "FAIL  hub acme/web: no answer (ConnectError)" in done.stdout
    assert "FAIL  disk: " in done.stdout and "FAIL  memory: " in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "hf") == ["hub", "recipe.toml"]


def test_a_hub_that_never_answers_holds_it_up_for_ten_seconds(hub: Hub, tmp_path: Path) -> None:
    def hang(handler: Handler, path: str) -> bool:
        time.sleep(25)
        return False

    hub.fault = hang
    began = time.monotonic()
    done = doctor(hub, tmp_path, "--json")
    assert 10 < time.monotonic() - began < 18
    assert by_name(done)["hub acme/web"]["found"] == "no answer (within 10 s)"

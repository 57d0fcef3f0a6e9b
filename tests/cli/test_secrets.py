"""A token and a signed address reach neither the screen nor a file, whatever fails, at full verbosity."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpts_data.pipelines.errors import SourceUnavailableError, redact
from tests.support import faults
from tests.support.datasets import rows, write
from tests.support.hub import Hub

CANARY = "hf_CanaryCanaryCanaryCanaryCanary00"
RECIPE = """
name = "secret"
tokens = "2k"
window = 64
[tokenizer]
vocab_size = 400
sample = "20kB"
[[source]]
name = "web"
weight = 1
dataset = "acme/web"
integrity = "{integrity}"
"""
BUILD = ["build-mix", "--recipe", "recipe.toml", "--out", "mix", "--patience", "2s"]
COMMANDS = [
    ["doctor", "--recipe", "recipe.toml"],
    ["train-tokenizer", "--recipe", "recipe.toml", "--out", "tokenizer", "--patience", "2s"],
    BUILD,
    [*BUILD, "--workers", "2"],
    ["inspect", "mix"],
    ["trace", "mix", "--token", "10"],
    ["verify", "mix"],
    ["smoke-train", "mix", "--steps", "0"],
]
RUN_ALL = """
import json, sys, traceback
from gpts_data.cli.main import cli

for command in json.loads(sys.argv[1]):
    try:
        cli(["--debug", *command])
    except SystemExit:
        pass
    except Exception:
        traceback.print_exc()
    print("ran", *command, flush=True)
"""
"""One process for all commands, since each would take a second to import what it needs."""
FAULTS = {
    "refused": faults.status(401),
    "forbidden": faults.status(403, X_Error_Message=f"token {CANARY} may not"),
    "gated": faults.status(403, X_Error_Code="GatedRepo"),
    "busy": faults.status(429),
    "broken": faults.status(500, X_Error_Message=f"Authorization: Bearer {CANARY}"),
    "a page": faults.html(),
    "expired": faults.first(faults.only(faults.at_cdn, faults.status(403)), faults.redirect(expires=60)),
    "redirected": faults.redirect(expires=60),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        write(hub.folder("acme/web") / "train.parquet", rows("web", 100))
        yield hub


@pytest.mark.parametrize("name", FAULTS)
def test_no_secret_in_output_or_files(hub: Hub, tmp_path: Path, name: str) -> None:
    (tmp_path / "recipe.toml").write_text(
        RECIPE.format(integrity="sha256" if name == "redirected" else "stream"), encoding="utf-8"
    )
    hub.fault = FAULTS[name]
    env = {**hub.env(tmp_path / "hf"), "HF_TOKEN": CANARY, "HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"}
    commands = COMMANDS if name in ("expired", "redirected") else COMMANDS[:3]
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps(commands)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=480,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert done.stdout.count("ran ") >= len(commands)
    hub.fault = None
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (CANARY, "Signature="):
        assert secret not in said
        assert not [path for path in files if secret.encode() in path.read_bytes()]
    assert os.environ.get("HF_TOKEN") != CANARY


def test_errors_are_redacted() -> None:
    text = f"https://user:word@hub.co/a?X-Amz-Signature=abc&b=1 said {CANARY}, Bearer abc.def"
    assert str(SourceUnavailableError(text)) == redact(text)
    assert redact(text) == "https://***@hub.co/a?*** said hf_***, Bearer ***"

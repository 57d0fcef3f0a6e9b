"""What the commands print about a mix beside their tables."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from tests.conftest import prose

RECIPE = """
name = "copies"
tokens = 4096
window = 64
[[source]]
name = "web"
weight = 1
files = "web.jsonl"
[validation]
fraction = 0.0
"""


@pytest.mark.parametrize("command", ["build-mix", "plan"])
def test_a_source_that_loses_much_to_one_reason_is_named(command: str, tmp_path: Path, mix: Mix) -> None:
    rng = random.Random(4)
    pages = [prose(rng, 100) for _ in range(40)]
    texts = [page + extra for page in pages for extra in ("", " Read more.")]
    (tmp_path / "web.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    arguments = [command, "--recipe", str(tmp_path / "recipe.toml"), "--tokenizer", str(mix.tokenizer)]
    out = ["--out", str(tmp_path / "mix")] if command == "build-mix" else []
    shown = CliRunner().invoke(cli, [*arguments, *out]).stdout
    assert re.search(r"web: near_duplicate drops (4\d|5\d)% of its documents", shown)

"""What the commands print about a mix beside their tables."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.cli.tables import show_mix
from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.inspect import inspect
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


def test_a_summary_of_many_sources_fits_80_columns(
    mix: Mix, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    summary, names = inspect(mix), [f"cosmopedia-v2-{i}" for i in range(9)]
    for key in ("sources", "waterfall"):
        summary[key] = {name: next(iter(summary[key].values())) for name in names}
    for name in names:
        summary["sources"][name] = {**summary["sources"][name], "tokens": 13_750_000_000, "windows": 26_855_469}
    summary["overlap"] = {name: dict.fromkeys(names, 1) for name in names}
    show_mix(summary)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert all(shown.count(name) >= 4 for name in names) and "13,750,000,000" in shown

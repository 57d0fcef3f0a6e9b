"""trace shows a screenful around the token."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.format.mix_encoder import open_encoder
from gpts_data.mixer.format.trace import trace
from gpts_data.validation.explain import excerpt as module
from gpts_data.validation.explain.excerpt import MARKS, excerpt


def test_the_token_is_marked_where_it_is_in_the_document(mix: Mix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEFORE", 30)
    monkeypatch.setattr(module, "AFTER", 40)
    encoder, ends = open_encoder(mix), 0
    for token in range(0, mix.tokens, 997):
        origin = trace(mix, token)
        shown = excerpt(mix, token, origin)
        marked = shown.split(MARKS[0])[1].split(MARKS[1])[0]
        ids = mix.row(*mix.locate(token // mix.window))[[token % mix.window]]
        ends += ids[0] == mix.eos_id
        assert marked == ("<|endoftext|>" if ids[0] == mix.eos_id else encoder.decode(ids))
        inside = shown.replace(MARKS[0], "").replace(MARKS[1], "").replace("<|endoftext|>", "")
        lines = [line for line in inside.split("\n") if not line.startswith("[") or "characters" not in line]
        assert "\n".join(lines).strip("\n") in origin.text
        assert len(shown) < 300


def test_short_lines_do_not_fill_more_than_a_screen(mix: Mix) -> None:
    origin = trace(mix, 700)
    assert excerpt(mix, 700, replace(origin, text=origin.text + "\nline" * 5000)).count("\n") < 15


def test_full_prints_the_whole_document(mix: Mix) -> None:
    token = next(token for token in range(0, mix.tokens, 64) if len(trace(mix, token).text) > 1500)
    text = trace(mix, token).text
    short, full = (
        CliRunner().invoke(cli, ["trace", str(mix.path), "--token", str(token), *more]).stdout
        for more in ([], ["--full"])
    )
    assert text not in short and "--full prints the whole document" in short
    assert text in full

"""smoke-train as programs see it, on good data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpts_data.cli.main import cli
from gpts_data.mixer.format.mix import Mix

pytest.importorskip("torch")

KEYS = {
    "parameters",
    "steps",
    "first_loss",
    "last_loss",
    "unigram_entropy",
    "tokens_per_second",
    "validation_bits_per_byte",
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two narrow layers and one thread: the command is what is tested, and 300 steps take two seconds."""
    import torch

    from gpts_data.validation.model.model import GPTSConfig
    from gpts_data.validation.training import smoke

    monkeypatch.setattr(smoke, "GPTSConfig", lambda: GPTSConfig(width=64, layers=2, heads=2, kv_heads=1, ffn=128))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_good_data_are_learnt(mix: Mix, tmp_path: Path) -> None:
    run = str(tmp_path / "run")
    arguments = ["smoke-train", str(mix.path), "--steps", "300", "--validate-every", "100", "--out", run]
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result.keys() >= KEYS and result["last_loss"] < result["unigram_entropy"]
    assert list(result["validation_bits_per_byte"]) == ["web", "books", "notes"]
    again = CliRunner().invoke(cli, arguments)  # a finished run is shown once more
    assert again.exit_code == 0 and f"{result['last_loss']:.3f}" in again.stdout
    other = CliRunner().invoke(cli, [*arguments, "--decay", "linear"])
    assert other.exit_code == 2 and "holds another run" in other.output


def test_the_published_recipe_wants_a_large_mix(mix: Mix, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["smoke-train", str(mix.path), "--recipe-schedule", "--out", str(tmp_path / "run")])
    assert done.exit_code == 2 and "expected at least 4,096, which one step of the published recipe uses" in " ".join(
        done.output.split()
    )


def test_too_few_steps_do_not_learn(mix: Mix, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["smoke-train", str(mix.path), "--steps", "1", "--out", str(tmp_path / "run")])
    assert done.exit_code == 6 and "the model did not learn" in done.output

"""A recipe with five sources and windows of 384 tokens can be built, verified and trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from gpts_data.mixer.build import build
from gpts_data.mixer.format.mix import Mix
from gpts_data.mixer.recipe import load_recipe
from gpts_data.validation.model.model import GPTSConfig
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.smoke import smoke_train
from gpts_data.validation.verify import verify

TINY = GPTSConfig(width=32, layers=2, heads=4, kv_heads=2, head_dim=8, ffn=64)
RECIPE = """
name = "five"
tokens = "40k"
window = 384
unit = "8kB"
shard_windows = 40

[tokenizer]
vocab_size = 400
sample = "40kB"

[validation]
fraction = 0.05
"""
WEIGHTS = {"edu": 15, "web": 30, "books": 20, "more": 20, "notes": 15}
FILES = ("web/part-0.parquet", "web/part-1.parquet", "books.jsonl", "notes.jsonl.zst", "notes.jsonl.zst")


def test_five_sources_of_windows_of_384(home: Path, tmp_path: Path) -> None:
    tables = [
        f'[[source]]\nname = "{name}"\nweight = {weight}\nfiles = "corpus/{file}"\n'
        for (name, weight), file in zip(WEIGHTS.items(), FILES, strict=True)
    ]
    dedup = "[dedup]\nexact = false\nurl = false\nminhash = false\n"  # two of the five are the same file
    (home / "five.toml").write_text(RECIPE + dedup + "".join(tables), encoding="utf-8")
    built = build(load_recipe(home / "five.toml"), home, tmp_path / "mix")
    assert built.manifest["windows"] == 104
    assert [source["windows"] for source in built.manifest["sources"].values()] == [16, 31, 21, 21, 15]
    assert verify(tmp_path / "mix") == []
    mix = Mix(tmp_path / "mix", built.manifest)
    result = smoke_train(mix, tmp_path / "run", LearningRateSchedule(40, 4), config=TINY)
    assert result.tokens == 40 * 4 * 384 and result.last_loss < result.first_loss - 1.5

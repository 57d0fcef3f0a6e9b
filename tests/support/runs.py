"""A mix with a pattern that a model of two small layers learns in seconds, and helpers to train on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from gpts_data.mixer.format.mix import Mix
from gpts_data.validation.model.model import GPTSConfig
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.smoke import SmokeResult, smoke_train

WINDOW = 32
ENTRIES = ["<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz", "Ġa", "the", "Ġ", "Ã", "ing"]  # 32: lengths 0, 1, 2, 3
LENGTHS = [0, *[1] * 26, 2, 3, 1, 1, 3]
TINY = GPTSConfig(width=32, layers=2, heads=2, kv_heads=1, head_dim=16, ffn=64)


def pattern(n_windows: int, seed: int) -> np.ndarray:
    """Windows that step through the 32 ids by 5 from random starts: all are equally frequent, each fixes the next."""
    starts = np.random.default_rng(seed).integers(32, size=(n_windows, 1))
    return ((starts + 5 * np.arange(WINDOW)) % 32).astype("<u2")


def write_patterned(folder: Path) -> Mix:
    """Write a mix of 300 windows in two shards and two sources, one with held-out windows. Files have no digests."""
    for name in ("shards", "validation", "tokenizer"):
        (folder / name).mkdir(parents=True)
    windows = pattern(300, seed=0)
    shards = []
    for number, part in enumerate((windows[:200], windows[200:])):
        (folder / f"shards/train-{number:05}.bin").write_bytes(part.tobytes())
        shards.append({"file": f"shards/train-{number:05}.bin", "windows": len(part), "bytes": part.nbytes})
    (folder / "validation/web.bin").write_bytes(pattern(7, seed=1).tobytes())
    (folder / "validation/books.bin").write_bytes(b"")
    tokenizer = {
        "added_tokens": [{"id": 0, "content": "<|endoftext|>", "special": True}],
        "model": {"vocab": {entry: number for number, entry in enumerate(ENTRIES)}},
    }
    (folder / "tokenizer/tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    manifest = {
        "windows": 300,
        "recipe": {"window": WINDOW, "source": [{"name": "web", "weight": 1}, {"name": "books", "weight": 1}]},
        "tokenizer": {"vocab_size": 32, "eos_id": 0},
        "shards": shards,
        "files": [
            {"file": name, "bytes": (folder / name).stat().st_size}
            for name in ("validation/web.bin", "validation/books.bin", "tokenizer/tokenizer.json")
        ],
        "root_digest": "d" * 64,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return Mix(folder, manifest)


def run(mix: Mix, out: Path, steps: int = 60, batch: int = 8, **options: Any) -> SmokeResult:
    """Train a tiny model on the CPU."""
    return smoke_train(
        mix,
        out,
        LearningRateSchedule(steps, batch),
        **{"device": "cpu", "micro_batch_tokens": 8 * WINDOW, "config": TINY, **options},
    )


def log(out: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log without the speed, which differs from run to run."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(line.pop("tokens_per_second") > 0 for line in lines)
    return lines


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in log(out)]

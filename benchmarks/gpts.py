"""Training speed: our trainer on our shards, beside plain loops over the same tokens.

    python -m benchmarks.gpts MIX [--updates 20] [--rounds 3] [--batch 4]

MIX is a mix folder. Every row makes the same number of updates of 4 windows on the same device, in float32 on a CPU, in
bfloat16 on a GPU, fused AdamW and clipping; rows take turns, the best round counts, the first update is not timed.

    gpts-data                   Trainer.update: training order, losses watched
    the same model, memmap      windows drawn at random from the shards, as nanoGPT draws them
    the same model, datasets    windows by `datasets` from the parquet export, formatted as torch
    nanoGPT's model, memmap     GPT-2's block at the same width and depth: LayerNorm, 6 heads, GELU, no exclusion
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpts_data.mixer.export.export import export
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.validation.model.model import GPTS, GPTSConfig
from gpts_data.validation.training.device import autocast, distributed_context
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.trainer import CLIP, Trainer, adamw

Step = Callable[[], object]


class Nano(nn.Module):
    """nanoGPT's model (github.com/karpathy/nanoGPT, model.py) in few lines, without dropout and biases."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(config.vocab_size, config.width), nn.Embedding(512, config.width)
        self.layers = nn.ModuleList(NanoBlock(config.width, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, bias=False)

    def loss(self, ids: Tensor) -> Tensor:
        x = self.embed(ids) + self.position(torch.arange(ids.shape[1], device=ids.device))
        for layer in self.layers:
            x = layer(x)
        logits = F.linear(self.norm(x), self.embed.weight)[:, :-1]
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]).float(), ids[:, 1:].reshape(-1))


class NanoBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.one, self.two = heads, nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(self.one(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        return x + self.down(F.gelu(self.up(self.two(x))))


@click.command()
@click.argument("folder", metavar="MIX", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--updates", default=20, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--batch", default=4, show_default=True, help="Windows an update.")
def main(folder: Path, updates: int, rounds: int, batch: int) -> None:
    """Print tokens per second of each."""
    mix = open_mix(folder)
    with tempfile.TemporaryDirectory() as work, distributed_context() as at:
        sizes = GPTSConfig(vocab_size=mix.vocab_size, context=mix.window)
        trainer = Trainer(
            GPTS(sizes), mix, LearningRateSchedule(10**6, batch), at, micro_batch=128 if at.device.type == "cuda" else 4
        )
        steps: dict[str, Step] = {
            "gpts-data": trainer.update,
            "the same model, memmap": _loop(GPTS(sizes), _random(mix, batch), at.device),
            "the same model, datasets": _loop(GPTS(sizes), _datasets(mix, batch, Path(work)), at.device),
            "nanoGPT's model, memmap": _loop(Nano(sizes), _random(mix, batch), at.device),
        }
        best = dict.fromkeys(steps, 0.0)
        for _ in range(rounds):
            for name, step in steps.items():
                best[name] = max(best[name], _rate(step, updates) * batch * mix.window)
        print(f"{at.device}, {torch.get_num_threads()} threads, torch {torch.__version__}\n| | tokens/s | ours = 1 |")
        for name, rate in best.items():
            print(f"| {name} | {rate:,.0f} | {rate / best['gpts-data']:.2f} |")


def _rate(step: Step, updates: int) -> float:
    step()
    began = time.perf_counter()
    for _ in range(updates):
        step()
    return updates / (time.perf_counter() - began)


def _loop(model: nn.Module, batches: Iterator[Tensor], device: torch.device) -> Step:
    model = model.to(device)
    optimizer = adamw(model)  # type: ignore[arg-type]

    def step() -> float:
        ids = next(batches).to(device)
        with autocast(device):
            loss: Tensor = model.loss(ids)  # type: ignore[operator]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def _random(mix: Mix, batch: int) -> Iterator[Tensor]:
    data, rng = np.memmap(mix.shards[0], dtype="<u2", mode="r"), np.random.default_rng(0)
    while True:
        starts = rng.integers(0, len(data) - mix.window, batch)
        yield torch.from_numpy(np.stack([data[i : i + mix.window].astype(np.int64) for i in starts]))


def _datasets(mix: Mix, batch: int, work: Path) -> Iterator[Tensor]:
    from datasets import load_dataset

    export(mix, "parquet", work / "parquet")
    rows = load_dataset("parquet", data_files=str(work / "parquet/**/train*.parquet"), cache_dir=str(work / "cache"))
    while True:
        for some in rows["train"].select_columns("input_ids").with_format("torch").iter(batch, drop_last_batch=True):
            yield some["input_ids"].long()


if __name__ == "__main__":
    main()

"""Training speed: our trainer on our shards, where its time goes, and what each of its measures gives.

    python -m benchmarks.gpts MIX [--updates 20] [--rounds 3] [--batch 4] [--compare]

MIX is a mix folder. It prints, for updates of `--batch` windows on the GPU if there is one:

1. tokens per second and MFU of the trainer, and the shares of input, forward, backward and optimizer in an update. For
   these the device is waited for after each part, so they add up to more than an update without that.
2. the same with one measure taken back in each row, and the loss after the last update, which must not differ. On a GPU
   each row compiles the model anew (half a minute), and two rows try other modes of torch.compile.
3. with --compare: plain loops over the same tokens. Rows take turns, the best round counts.

    the same model, memmap      windows drawn at random from the shards, as nanoGPT draws them
    the same model, datasets    windows by `datasets` from the parquet export, formatted as torch
    nanoGPT's model, memmap     GPT-2's block at the same width and depth: LayerNorm, 6 heads, GELU, no exclusion

For an H200, 8 minutes: python -m benchmarks.gpts MIX --batch 512 --updates 100 --rounds 1
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpts_data.mixer.export.export import export
from gpts_data.mixer.format.mix import Mix, open_mix
from gpts_data.validation.model import model as model_module
from gpts_data.validation.model.model import GPTS, GPTSConfig
from gpts_data.validation.training import trainer as trainer_module
from gpts_data.validation.training.attention import attention_kernel
from gpts_data.validation.training.batches import BatchReader
from gpts_data.validation.training.device import (
    DistributedContext,
    autocast,
    distributed_context,
    model_flops_utilization,
)
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.trainer import CLIP, Trainer, adamw

Step = Callable[[], object]


class Nano(nn.Module):
    """nanoGPT's model (github.com/karpathy/nanoGPT, model.py) in few lines, without dropout and biases."""

    def __init__(self, config: GPTSConfig) -> None:
        super().__init__()
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Embedding(config.context, config.width)
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
@click.option("--compare", is_flag=True, help="Also time plain loops.")
def main(folder: Path, updates: int, rounds: int, batch: int, compare: bool) -> None:
    """Print the tables."""
    mix = open_mix(folder)
    with distributed_context() as context:
        name = torch.cuda.get_device_name(context.device) if context.device.type == "cuda" else "CPU"
        print(f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, {batch} x {mix.window} tokens")
        trainer = _trainer(mix, batch, context)
        rate = max(_rate(_late(trainer), updates, context) for _ in range(rounds)) * batch * mix.window
        mfu = model_flops_utilization(trainer.model.config, trainer.model.parameter_count(), rate, context)
        print(f"{rate:,.0f} tokens/s, MFU {'not known' if mfu is None else f'{mfu:.1%}'}", end="; ")
        print(f"{trainer.passes} passes an update, attention {trainer.attention or 'chosen by torch'}")
        _print_shares(trainer, updates)
        _print_measures(mix, batch, context, updates, rounds)
        if compare:
            _print_comparison(mix, batch, context, updates, rounds)


def _trainer(mix: Mix, batch: int, context: DistributedContext, tokens: int | None = None) -> Trainer:
    torch.manual_seed(0)
    model = GPTS(GPTSConfig(vocab_size=mix.vocab_size, context=mix.window))
    return Trainer(model, mix, LearningRateSchedule(10**6, batch), context, tokens)


def _late(trainer: Trainer) -> Step:
    """A step that reads the loss of the step before, as a run does."""
    started: list[Any] = []

    def step() -> None:
        started.append(trainer.update())
        if len(started) > 1:
            started.pop(0).read()

    return step


def _rate(step: Step, updates: int, context: DistributedContext) -> float:
    """Updates a second; the first is not timed."""
    step()
    _wait(context)
    began = time.perf_counter()
    for _ in range(updates):
        step()
    _wait(context)
    return updates / (time.perf_counter() - began)


def _wait(context: DistributedContext) -> None:
    if context.device.type == "cuda":
        torch.cuda.synchronize(context.device)


def _print_shares(trainer: Trainer, updates: int) -> None:
    """The parts of Trainer.update, each waited for."""
    context, seconds = trainer.context, dict.fromkeys(("input", "forward", "backward", "optimizer"), 0.0)

    def timed(part: str, step: Callable[[], Any]) -> Any:
        _wait(context)
        began = time.perf_counter()
        result = step()
        _wait(context)
        seconds[part] += time.perf_counter() - began
        return result

    def forward(ids: Tensor) -> Tensor:
        with autocast(context.device), attention_kernel(trainer.attention):
            return trainer.scaler.scale(trainer._loss(ids) / trainer.passes)

    def optimize() -> None:
        trainer.scaler.unscale_(trainer.optimizer)
        nn.utils.clip_grad_norm_(trainer.model.parameters(), CLIP)
        trainer.scaler.step(trainer.optimizer)
        trainer.scaler.update(None if trainer.scaled else 1.0)
        trainer.optimizer.zero_grad()

    for _ in range(updates):
        windows = timed("input", partial(trainer._batches.read, trainer.step))
        for ids in windows.tensor_split(trainer.passes):
            loss = timed("forward", partial(forward, ids))
            timed("backward", loss.backward)
        timed("optimizer", optimize)
        trainer.step += 1
    total = sum(seconds.values())
    print("shares: " + ", ".join(f"{part} {spent / total:.1%}" for part, spent in seconds.items()))


def _print_measures(mix: Mix, batch: int, context: DistributedContext, updates: int, rounds: int) -> None:
    print("\n| taken back | tokens/s | as it is = 1 | loss |\n|---|---:|---:|---:|")
    first = 0.0
    for label, (patches, at_once, tokens) in _measures(mix, batch, context).items():
        try:
            with ExitStack() as stack:
                for each in patches:
                    stack.enter_context(each)
                trainer = _trainer(mix, batch, context, tokens)
                step = (lambda trainer=trainer: trainer.update().read()) if at_once else _late(trainer)
                rate = max(_rate(step, updates, context) for _ in range(rounds)) * batch * mix.window
                loss = trainer.update().read()[0]
        except Exception as error:  # a mode of torch.compile that does not work here
            print(f"| {label} | {type(error).__name__} | | |", flush=True)
            continue
        first = first or rate
        print(f"| {label} | {rate:,.0f} | {rate / first:.2f} | {loss:.4f} |", flush=True)


def _measures(mix: Mix, batch: int, context: DistributedContext) -> dict[str, tuple[list[Any], bool, int | None]]:
    """Rows of the table: what is patched, whether each loss is read at once, the most tokens of a pass."""

    def without_thread(reader: BatchReader, step: int) -> Tensor:
        return torch.from_numpy(reader._order.read(step * batch, batch)).to(context.device)

    rows: dict[str, tuple[list[Any], bool, int | None]] = {
        "nothing": ([], False, None),
        "a thread reads uint16 ahead": ([patch.object(BatchReader, "read", without_thread)], False, None),
        "the loss is read late": ([], True, None),
        "RoPE's angles computed once": (
            [patch.object(trainer_module._Loss, "forward", lambda self, ids: self.model.loss(ids))],
            False,
            None,
        ),
    }
    if context.device.type != "cuda":
        return rows
    separate = patch.object(model_module, "apply_each", lambda layers, x: [layer(x) for layer in layers])
    compile_ = torch.compile
    return rows | {
        "one pass: 65,536 tokens each": ([], False, 65_536),
        "joined products of q, k, v and gate, up": ([separate], False, None),
        "attention kernel measured": (
            [patch.object(trainer_module, "fastest_attention", lambda *_: None)],
            False,
            None,
        ),
        **{
            f"plain compilation: mode {mode}": (
                [patch.object(torch, "compile", partial(compile_, mode=mode))],
                False,
                None,
            )
            for mode in ("reduce-overhead", "max-autotune-no-cudagraphs")
        },
    }


def _print_comparison(mix: Mix, batch: int, context: DistributedContext, updates: int, rounds: int) -> None:
    sizes = GPTSConfig(vocab_size=mix.vocab_size, context=mix.window)
    with tempfile.TemporaryDirectory() as work:
        steps: dict[str, Step] = {
            "gpts-data": _late(_trainer(mix, batch, context)),
            "the same model, memmap": _loop(GPTS(sizes), _random(mix, batch), context.device),
            "the same model, datasets": _loop(GPTS(sizes), _datasets(mix, batch, Path(work)), context.device),
            "nanoGPT's model, memmap": _loop(Nano(sizes), _random(mix, batch), context.device),
        }
        best = dict.fromkeys(steps, 0.0)
        for _ in range(rounds):
            for name, step in steps.items():
                best[name] = max(best[name], _rate(step, updates, context) * batch * mix.window)
    print("\n| | tokens/s | ours = 1 |\n|---|---:|---:|")
    for name, rate in best.items():
        print(f"| {name} | {rate:,.0f} | {rate / best['gpts-data']:.2f} |")


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

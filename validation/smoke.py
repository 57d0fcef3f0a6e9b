"""SMOKE-TRAIN: a short GPT-S run that shows whether a model learns from a mix.

It learns when its loss falls below the unigram entropy: the best that can be done with the ids' frequencies alone, so
anything below it comes from context. The recipe is that of GPT-S-5M, shortened; parameters and optimiser state stay
float32, and on a GPU the products are bfloat16 (autocast).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from gpts_data.mixer.mix import Mix
from gpts_data.pipelines.errors import ForeignFolderError, GptsDataError, UsageError
from gpts_data.pipelines.files import storage_errors, write_bytes, write_json
from gpts_data.tokenizer.artifact import load
from gpts_data.validation.batches import batches, unigram_entropy
from gpts_data.validation.model import GPTS, GPTSConfig
from gpts_data.validation.schedule import wsd

PEAK = 2.5e-3
WARMUP = 1500  # steps of the published run; a tenth of a shorter one
BETAS = (0.9, 0.95)
WEIGHT_DECAY = 0.01
CLIP = 1.0
VALIDATION_WINDOWS = 64  # per source: some 33,000 tokens, about 10 s on two cores

Progress = Callable[[int, int, float, float], object]  # (step, steps, loss, tokens per second)


@dataclass(frozen=True)
class Loss:
    """One line of losses.jsonl: steps count from 1, the loss is that before the step's update, at rate `lr`."""

    step: int
    loss: float
    lr: float


@dataclass(frozen=True)
class SmokeResult:
    """Losses and entropy in nats per token; the validation figures in bits per byte of text."""

    parameters: int
    steps: int
    first_loss: float
    last_loss: float
    """Mean of the last tenth of the steps."""
    unigram_entropy: float
    tokens_per_second: float
    validation_bits_per_byte: dict[str, float | None]
    """By source; None where no text is held out."""
    tokens: int
    epochs: float
    """Windows used / windows of the mix: above 1, windows were seen more than once."""
    device: str
    mix_root_digest: str

    @property
    def learned(self) -> bool:
        return self.last_loss < self.unigram_entropy


def smoke_train(
    mix: Mix, out: Path, *, steps: int = 200, batch_size: int = 4, seed: int = 0, device: str | None = None,
    progress: Progress | None = None, config: GPTSConfig | None = None,
) -> SmokeResult:  # fmt: skip
    """Train GPT-S (or `config`'s sizes) on the first windows of `mix`, and write the run into the folder `out`.

    Vocabulary and context are the mix's. `device` is cuda where there is one, else cpu, where a seed always gives the
    same losses. Raises `UsageError` for what cannot be trained, `DataError` for damaged shards, `StorageError`.
    """
    _check(mix, out, steps, batch_size)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    id_bytes = bytes_per_id(mix)
    entropy = unigram_entropy(mix)
    model = _model(replace(config or GPTSConfig(), vocab_size=mix.vocab_size, context=mix.window), seed).to(device)
    began = time.monotonic()
    losses = _train(model, mix, steps, batch_size, progress or (lambda *_: None))
    seconds = time.monotonic() - began
    tail = [line.loss for line in losses[-max(steps // 10, 1) :]]
    tokens = steps * batch_size * mix.window
    result = SmokeResult(
        parameters=model.parameter_count(),
        steps=steps,
        first_loss=losses[0].loss,
        last_loss=math.fsum(tail) / len(tail),
        unigram_entropy=entropy,
        tokens_per_second=tokens / seconds,
        validation_bits_per_byte={name: bits_per_byte(model, mix, name, id_bytes, batch_size) for name in mix.sources},
        tokens=tokens,
        epochs=steps * batch_size / mix.windows,
        device=device,
        mix_root_digest=str(mix.manifest["root_digest"]),
    )
    _write(out, model, mix, losses, result)
    return result


def bytes_per_id(mix: Mix) -> NDArray[np.int64]:
    """Bytes of text that every id stands for, shape (vocab_size,): an entry's characters, and 0 for end-of-text.

    In a byte-level vocabulary a character stands for one byte. Raises `UsageError` for any other vocabulary.
    """
    path = load(mix.tokenizer).folder / "tokenizer.json"
    content = json.loads(path.read_bytes())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    added = {token["content"]: token["id"] for token in content["added_tokens"]}
    lengths = np.zeros(mix.vocab_size, dtype=np.int64)
    for entry, number in vocabulary.items():
        if not (entry in added or _BYTE_CHARACTERS.issuperset(entry)):
            raise UsageError(f"{path}: entry {entry!r} is not byte-level; bits per byte need a byte-level BPE")
        lengths[number] = len(entry)
    for entry, number in added.items():
        lengths[number] = len(entry.encode())  # added tokens are spelled as they are
    lengths[mix.eos_id] = 0
    return lengths


def _byte_characters() -> set[str]:
    """GPT-2's 256: the printable characters of Latin-1 for themselves, then U+0100.. for the bytes without one."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    return {chr(b) for b in printable} | {chr(0x100 + n) for n in range(256 - len(printable))}


_BYTE_CHARACTERS = _byte_characters()


@torch.inference_mode()
def bits_per_byte(
    model: GPTS, mix: Mix, source: str, id_bytes: NDArray[np.int64], batch_size: int
) -> float | None:  # fmt: skip
    """Nats over all targets of the source's held-out windows / ln 2 / bytes of the targets; None without any byte."""
    windows = mix.validation(source)[:VALIDATION_WINDOWS].astype(np.int64)
    n_bytes = int(id_bytes[windows[:, 1:]].sum())  # the first id of a window is never a target
    device = next(model.parameters()).device
    nats = 0.0
    for start in range(0, len(windows), batch_size):
        ids = torch.from_numpy(windows[start : start + batch_size]).to(device)
        with _autocast(device):
            nats += model.loss(ids).item() * ids[:, 1:].numel()
    return nats / math.log(2) / n_bytes if n_bytes else None


def _check(mix: Mix, out: Path, steps: int, batch_size: int) -> None:
    """Refuse what cannot be meant, before minutes are spent on it."""
    if steps < 1 or batch_size < 1:
        raise UsageError(f"steps = {steps}, batch_size = {batch_size}: expected at least 1 of each")
    if mix.windows < 1:
        raise UsageError(f"{mix.path}: the mix has no windows; build one with more tokens")
    if out.resolve().is_relative_to(mix.path.resolve()):
        raise ForeignFolderError(f"{out}: inside the mix, which verify would then refuse; choose another folder")
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: a file; expected a folder for the run")
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)


def _model(config: GPTSConfig, seed: int) -> GPTS:
    """A fresh model, made on the CPU: every device starts from the same weights. The caller's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTS(config)


def _train(model: GPTS, mix: Mix, steps: int, batch_size: int, progress: Progress) -> list[Loss]:
    optimizer = _optimizer(model)
    device = next(model.parameters()).device
    losses: list[Loss] = []
    began = time.monotonic()
    for step, ids in enumerate(batches(mix, batch_size, steps)):
        lr = wsd(step, steps, PEAK, min(WARMUP, steps // 10))
        for group in optimizer.param_groups:
            group["lr"] = lr
        with _autocast(device):
            loss = model.loss(ids.to(device))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(Loss(step + 1, loss.item(), lr))
        if not math.isfinite(losses[-1].loss):
            raise GptsDataError(f"step {step + 1} of {steps}: the loss is {losses[-1].loss}; the training diverged")
        progress(step + 1, steps, losses[-1].loss, (step + 1) * ids.numel() / (time.monotonic() - began))
    return losses


def _optimizer(model: GPTS) -> torch.optim.AdamW:
    """AdamW that decays every matrix, the tied embedding included, and no norm's weight."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    norms = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": norms, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=PEAK, betas=BETAS, fused=True)


def _autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 products on a GPU; float32 on a CPU, where few have fast bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def _write(out: Path, model: GPTS, mix: Mix, losses: list[Loss], result: SmokeResult) -> None:
    """The run: weights and sizes, what an export needs of the mix, the losses; result.json last."""
    weights = {name: weight.detach().cpu().contiguous() for name, weight in model.state_dict().items()}
    write_bytes(out / "model.safetensors", save(weights, metadata={"format": "pt"}))
    write_json(out / "config.json", asdict(model.config))
    write_json(out / "mix.json", mix.manifest)
    for path in sorted(mix.tokenizer.iterdir()):
        write_bytes(out / "tokenizer" / path.name, path.read_bytes())
    write_bytes(out / "losses.jsonl", "".join(json.dumps(asdict(line)) + "\n" for line in losses).encode())
    write_json(out / "result.json", asdict(result))

"""SMOKE-TRAIN: a GPT-S run that shows whether a model learns from a mix, short or whole.

It learns when its loss falls below the unigram entropy: the best that can be done with the ids' frequencies alone, so
anything below it comes from context. A run goes on where it was stopped when it is started again: on one device, to
the same bits.

    RUN/run.json                what the run is a function of; another one does not go into the folder
    RUN/log.jsonl, checkpoints/ as it goes
    RUN/model.safetensors ...   at the end; result.json last
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import DataError, ForeignFolderError, UsageError
from gpts_data.pipelines.storage.atomic_files import storage_errors, write_bytes, write_json
from gpts_data.pipelines.storage.paths import is_inside
from gpts_data.tokenizer.byte_lengths import bytes_per_id
from gpts_data.validation.model.model import GPTS, GPTSConfig
from gpts_data.validation.training.checkpoint import drop_checkpoints, load_checkpoint, save_checkpoint, weights
from gpts_data.validation.training.curves import draw_curves
from gpts_data.validation.training.device import model_flops_utilization, processes
from gpts_data.validation.training.log import Line, Log
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.metrics import bits_per_byte, unigram_entropy
from gpts_data.validation.training.trainer import Trainer

MICRO = {"cuda": 128, "cpu": 4}  # windows of a pass through the model: what the published run has, what a laptop holds
CHECKPOINT_SECONDS = 60.0  # so much is lost at most; 62 MB of GPT-S-5M are on disk in less than one

Progress = Callable[[Line, int, float | None], object]  # (a step's line, steps, share of the device's FLOP/s)
Validate = Callable[[], dict[str, float | None]]


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
    mfu: float | None
    """Share of the device's peak; None where that is not known."""
    validation_bits_per_byte: dict[str, float | None]
    """By source; None where no text is held out."""
    tokens: int
    epochs: float
    """Windows used / windows of the mix: above 1, windows were seen more than once."""
    device: str
    processes: int
    mix_root_digest: str

    @property
    def learned(self) -> bool:
        return self.last_loss < self.unigram_entropy


def smoke_train(
    mix: Mix, out: Path, schedule: LearningRateSchedule, *, seed: int = 0, device: str | None = None,
    micro_batch: int | None = None, validate_every: int = 0, checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress | None = None, config: GPTSConfig | None = None,
) -> SmokeResult:  # fmt: skip
    """Train GPT-S (or `config`'s sizes) on the first windows of `mix`, and write the run into the folder `out`.

    Goes on from a checkpoint of the same run; a finished one is only read. Vocabulary and context are the mix's.
    `device` is cuda where there is one, else cpu, where a seed always gives the same losses. Under torchrun all
    processes call this with one folder that all can read. Raises `UsageError` for what cannot be trained or another
    run in the folder, `DataError` for damaged shards or a damaged run, `StorageError`.
    """
    _check(mix, out, schedule, validate_every)
    sizes = replace(config or GPTSConfig(), vocab_size=mix.vocab_size, context=mix.window)
    asked = {
        "mix_root_digest": mix.manifest["root_digest"], "config": asdict(sizes), "schedule": asdict(schedule),
        "seed": seed, "validate_every": validate_every,
    }  # fmt: skip
    with processes(device) as at:
        finished = at.broadcast_from_rank0(_begin(out, asked) if at.rank == 0 else None)
        if finished is not None:
            return finished
        entropy, id_bytes = unigram_entropy(mix), bytes_per_id(mix.tokenizer, mix.vocab_size, mix.eos_id)
        micro_batch = micro_batch or MICRO.get(at.device.type, 4)
        trainer = Trainer(_model(sizes, seed), mix, schedule, at, micro_batch)
        load_checkpoint(out, trainer)
        if at.rank:
            while trainer.step < schedule.steps:
                trainer.update()
            return at.broadcast_from_rank0(None)

        def validate() -> dict[str, float | None]:
            return {name: bits_per_byte(trainer.model, mix, name, id_bytes, micro_batch) for name in mix.sources}

        log = Log(out, trainer.step)
        _train(trainer, log, validate, validate_every, checkpoint_seconds, progress or (lambda *_: None))
        result = _result(trainer, log.lines, entropy)
        _write(out, trainer, log.lines, result)
        return at.broadcast_from_rank0(result)


def _check(mix: Mix, out: Path, schedule: LearningRateSchedule, validate_every: int) -> None:
    """Refuse what cannot be meant, before minutes are spent on it."""
    if schedule.steps < 1 or schedule.batch < 1 or validate_every < 0:
        raise UsageError(f"steps = {schedule.steps}, batch_size = {schedule.batch}: expected at least 1 of each")
    if mix.windows < 1:
        raise UsageError(f"{mix.path}: the mix has no windows; build one with more tokens")
    if is_inside(out, mix.path):
        raise ForeignFolderError(f"{out}: inside the mix, which verify would then refuse; choose another folder")
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: a file; expected a folder for the run")


def _begin(out: Path, asked: dict[str, Any]) -> SmokeResult | None:
    """Claim the folder for this run; returns its result when it is finished."""
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if not (out / "run.json").exists():
        if any(path for path in out.iterdir() if not path.name.startswith("run.json.")):  # what a killed writer left
            raise ForeignFolderError(f"{out}: holds something else; choose another folder, or delete it")
        write_json(out / "run.json", asked)
        return None
    try:
        found = json.loads((out / "run.json").read_bytes())
        changed = [key for key in asked if found.get(key) != asked[key]]
        result = json.loads((out / "result.json").read_bytes()) if (out / "result.json").exists() else None
        finished = SmokeResult(**result) if result else None
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{out}: run.json or result.json are not a run's: {error}; delete the folder") from error
    if changed:
        was = ", ".join(f"{key} {found.get(key)}, not {asked[key]}" for key in changed)
        raise ForeignFolderError(f"{out}: holds another run: {was}; choose another folder with --out, or delete it")
    return finished


def _model(config: GPTSConfig, seed: int) -> GPTS:
    """A fresh model, made on the CPU: every device starts from the same weights. The caller's random state stays."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTS(config)


def _train(
    trainer: Trainer, log: Log, validate: Validate, validate_every: int, checkpoint_seconds: float, progress: Progress
) -> None:  # fmt: skip
    """The updates that are left, each logged; validated in between and after the last."""
    schedule, saved = trainer.schedule, time.monotonic()
    size = schedule.batch * trainer.order.mix.window
    while trainer.step < schedule.steps:
        began = time.monotonic()
        loss, rate = trainer.update()
        speed = size / (time.monotonic() - began)
        due = trainer.step == schedule.steps or (validate_every and trainer.step % validate_every == 0)
        log.append(Line(trainer.step, loss, rate, trainer.step * size, speed, validate() if due else None))
        progress(log.lines[-1], schedule.steps, _mfu(trainer, speed))
        if trainer.step < schedule.steps and time.monotonic() - saved >= checkpoint_seconds:
            log.sync()
            save_checkpoint(log.path.parent, trainer)
            saved = time.monotonic()


def _mfu(trainer: Trainer, tokens_per_second: float) -> float | None:
    model, at = trainer.model, trainer.context
    return model_flops_utilization(model.config, model.parameter_count(), tokens_per_second, at)


def _result(trainer: Trainer, lines: list[Line], entropy: float) -> SmokeResult:
    schedule, mix, at = trainer.schedule, trainer.order.mix, trainer.context
    tail = [line.loss for line in lines[-max(schedule.steps // 10, 1) :]]
    speed = len(lines) / math.fsum(1 / line.tokens_per_second for line in lines)  # of equal steps: the harmonic mean
    return SmokeResult(
        parameters=trainer.model.parameter_count(),
        steps=schedule.steps,
        first_loss=lines[0].loss,
        last_loss=math.fsum(tail) / len(tail),
        unigram_entropy=entropy,
        tokens_per_second=speed,
        mfu=_mfu(trainer, speed),
        validation_bits_per_byte=lines[-1].validation_bits_per_byte or {},
        tokens=lines[-1].tokens,
        epochs=schedule.steps * schedule.batch / mix.windows,
        device=at.device.type,
        processes=at.world,
        mix_root_digest=str(mix.manifest["root_digest"]),
    )


def _write(out: Path, trainer: Trainer, lines: list[Line], result: SmokeResult) -> None:
    """The run: weights and sizes, what an export needs of the mix, the curves; result.json last."""
    mix = trainer.order.mix
    write_bytes(out / "model.safetensors", weights(trainer))
    write_json(out / "config.json", asdict(trainer.model.config))
    write_json(out / "mix.json", mix.manifest)
    for path in sorted(mix.tokenizer.iterdir()):
        write_bytes(out / "tokenizer" / path.name, path.read_bytes())
    write_bytes(out / "curves.svg", draw_curves(lines, result.unigram_entropy))
    write_json(out / "result.json", asdict(result))
    drop_checkpoints(out)

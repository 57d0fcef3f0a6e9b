"""SMOKE-TRAIN: trains GPT-S on a mix to show that a model learns from it.

It learned when its final loss is below the unigram entropy, which is the best loss that token frequencies alone allow:
anything below it comes from context. The same command resumes a run that was stopped; on one device the result is the
same to the bit.

    RUN/run.json                      the settings of the run; a run with other settings is refused
    RUN/log.jsonl, RUN/checkpoints/   written as the run goes
    RUN/model.safetensors ...         written at the end; result.json last
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from gpts_data.mixer.format.mix import Mix
from gpts_data.pipelines.errors import ForeignFolderError, GptsDataError, UsageError
from gpts_data.pipelines.storage.atomic_files import storage_errors, write_bytes, write_json
from gpts_data.pipelines.storage.paths import is_inside
from gpts_data.tokenizer.byte_lengths import bytes_per_id
from gpts_data.validation.model.model import GPTS, GPTSConfig
from gpts_data.validation.run_files import read_as, read_run_file
from gpts_data.validation.training.checkpoint import drop_checkpoints, load_checkpoint, save_checkpoint, weights
from gpts_data.validation.training.curves import draw_curves
from gpts_data.validation.training.device import distributed_context, model_flops_utilization
from gpts_data.validation.training.log import Line, Log
from gpts_data.validation.training.loop import Duties, Loop
from gpts_data.validation.training.lr_schedule import LearningRateSchedule
from gpts_data.validation.training.metrics import bits_per_byte, unigram_entropy
from gpts_data.validation.training.stage_steps import stage_steps
from gpts_data.validation.training.trainer import Trainer

CHECKPOINT_SECONDS = 60.0  # the most that a killed run loses; writing 62 MB for GPT-S-5M takes less than 1 s

Progress = Callable[[Line, int, float | None], object]  # (log line of a step, steps of the run, MFU)


@dataclass(frozen=True)
class SmokeResult:
    """Result of a run. Losses and entropy are in nats per token."""

    parameters: int
    steps: int
    first_loss: float
    last_loss: float
    """Mean over the last tenth of the steps."""
    unigram_entropy: float
    tokens_per_second: float
    """Steady rate: from the median time of a step, without compilation, validation and checkpoints."""
    compile_seconds: float
    """Time that the first step took longer because it compiled the model; 0 on a CPU, where nothing is compiled."""
    skipped_steps: int
    """Steps whose gradient was not finite, so that they did not change the weights."""
    mfu: float | None
    """Model FLOP/s as a share of the devices' peak; None when the peak is not known."""
    validation_bits_per_byte: dict[str, float | None]
    """Bits per byte on held-out documents by source; None for a source without any."""
    tokens: int
    epochs: float
    """Windows trained on / windows of the mix; above 1, windows were repeated."""
    device: str
    processes: int
    mix_root_digest: str

    @property
    def learned(self) -> bool:
        return self.last_loss < self.unigram_entropy


def smoke_train(
    mix: Mix,
    out: Path,
    schedule: LearningRateSchedule,
    *,
    seed: int = 0,
    device: str | None = None,
    micro_batch_tokens: int | None = None,
    validate_every: int = 0,
    skip_nonfinite: bool = False,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: Progress | None = None,
    config: GPTSConfig | None = None,
) -> SmokeResult:
    """Train GPT-S on the first windows of `mix` in training order and write the run to the folder `out`.

    A run in `out` with the same settings is resumed from its checkpoint; a finished one is only read. Under torchrun,
    all processes call this with the same folder, which all must be able to read. `config` sets other sizes than
    GPT-S-5M's; vocabulary and context are always the mix's. `device` is "cuda" or "cpu" (default: cuda if available);
    on a CPU the same seed always gives the same losses.

    A step whose gradient is not finite changes nothing and stops the run, with its checkpoints intact; with
    `skip_nonfinite`, or in float16, the run goes on with the next batch and the log says so.

    Raises `UsageError` for settings or a mix that cannot be trained, `ForeignFolderError` for an unsuitable `out`,
    `DataError` for damaged shards or a damaged run, `StorageError`, `GptsDataError` when the training diverges.
    """
    _check_arguments(mix, out, schedule, validate_every)
    sizes = replace(config or GPTSConfig(), vocab_size=mix.vocab_size, context=mix.window)
    settings = _settings(mix, sizes, schedule, seed, validate_every)
    with distributed_context(device) as context:
        finished = context.broadcast_from_rank0(_claim_folder(out, settings) if context.rank == 0 else None)
        if finished is not None:
            return finished
        trainer = Trainer(_new_model(sizes, seed), mix, schedule, context, micro_batch_tokens)
        load_checkpoint(out, trainer)
        if context.rank == 0:
            result = _train(trainer, out, validate_every, skip_nonfinite, checkpoint_seconds, progress)
        else:
            Loop(trainer, Duties(), skip_nonfinite).run()
            result = None
        return context.broadcast_from_rank0(result)


def _check_arguments(mix: Mix, out: Path, schedule: LearningRateSchedule, validate_every: int) -> None:
    """Refuse mistaken arguments before minutes are spent on them."""
    if schedule.steps < 1 or schedule.batch < 1:
        raise UsageError(f"steps = {schedule.steps}, batch_size = {schedule.batch}: expected at least 1 of each")
    if validate_every < 0:
        raise UsageError(f"validate_every = {validate_every}: expected 0 (only after the last step) or more")
    if mix.windows < 1:
        raise UsageError(f"{mix.path}: the mix has no windows; build one with more tokens")
    if is_inside(out, mix.path):
        raise ForeignFolderError(
            f"{out}: this folder is inside the mix, which verify would then refuse; choose another folder"
        )
    if out.exists() and not out.is_dir():
        raise ForeignFolderError(f"{out}: found a file, expected a folder for the run")


def _settings(
    mix: Mix, sizes: GPTSConfig, schedule: LearningRateSchedule, seed: int, validate_every: int
) -> dict[str, Any]:
    """Return what the result of a run depends on: the content of run.json."""
    return {
        "mix_root_digest": mix.manifest["root_digest"],
        "config": asdict(sizes),
        "schedule": asdict(schedule),
        "seed": seed,
        "validate_every": validate_every,
    }


def _claim_folder(out: Path, settings: dict[str, Any]) -> SmokeResult | None:
    """Reserve the folder for a run with these settings. Returns the result when that run is already finished.

    Raises `UsageError` when run.json or result.json cannot be read as those of a run.
    """
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    if not (out / "run.json").exists():
        if any(
            path for path in out.iterdir() if not path.name.startswith("run.json.")
        ):  # a killed process leaves these
            raise ForeignFolderError(f"{out}: the folder holds something else; choose another one, or delete it")
        write_json(out / "run.json", settings)
        return None
    previous = read_run_file(out / "run.json", dict[str, Any])
    changed = [key for key in settings if previous.get(key) != settings[key]]
    finished = read_as(out / "result.json", SmokeResult) if (out / "result.json").exists() else None
    if changed:
        changes = ", ".join(f"{key} {previous.get(key)}, not {settings[key]}" for key in changed)
        raise ForeignFolderError(
            f"{out}: the folder holds another run: {changes}; choose another folder with --out, or delete it"
        )
    return finished


def _new_model(config: GPTSConfig, seed: int) -> GPTS:
    """Initialize a model on the CPU, so that the weights are the same for every device.

    The caller's random state does not change.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTS(config)


def _train(
    trainer: Trainer,
    out: Path,
    validate_every: int,
    skip_nonfinite: bool,
    checkpoint_seconds: float,
    progress: Progress | None,
) -> SmokeResult:
    """Do the remaining steps, log them, validate, and write the run."""
    mix = trainer.order.mix
    entropy, id_bytes = unigram_entropy(mix), bytes_per_id(mix.tokenizer, mix.vocab_size, mix.eos_id)
    log = Log(out, trainer.step)

    def append(line: Line) -> None:
        log.append(line)
        if progress:
            progress(line, trainer.schedule.steps, _mfu(trainer, line.tokens_per_second))

    def validate() -> dict[str, float | None]:
        return {name: bits_per_byte(trainer.model, mix, name, id_bytes, trainer.pass_windows) for name in mix.sources}

    def save() -> None:
        log.sync()
        save_checkpoint(out, trainer)

    loop = Loop(trainer, Duties(append, validate, save, validate_every, checkpoint_seconds), skip_nonfinite)
    loop.run()
    result = _result(trainer, loop, log.lines, entropy)
    _write(out, trainer, log.lines, result)
    return result


def _mfu(trainer: Trainer, tokens_per_second: float) -> float | None:
    model = trainer.model
    return model_flops_utilization(model.config, model.parameter_count(), tokens_per_second, trainer.context)


def _result(trainer: Trainer, loop: Loop, lines: list[Line], entropy: float) -> SmokeResult:
    schedule, mix = trainer.schedule, trainer.order.mix
    losses = [line.loss for line in lines if math.isfinite(line.loss)]
    if not losses:
        raise GptsDataError(f"none of the {schedule.steps} steps had a finite loss: the training diverged")
    last_losses = losses[-max(schedule.steps // 10, 1) :]
    speed = schedule.batch * mix.window / loop.steady_seconds
    return SmokeResult(
        parameters=trainer.model.parameter_count(),
        steps=schedule.steps,
        first_loss=losses[0],
        last_loss=math.fsum(last_losses) / len(last_losses),
        unigram_entropy=entropy,
        tokens_per_second=speed,
        compile_seconds=loop.compile_seconds,
        skipped_steps=sum(line.skipped is True for line in lines),
        mfu=_mfu(trainer, speed),
        validation_bits_per_byte=lines[-1].validation_bits_per_byte or {},
        tokens=lines[-1].tokens,
        epochs=schedule.steps * schedule.batch / mix.windows,
        device=trainer.context.device.type,
        processes=trainer.context.world,
        mix_root_digest=str(mix.manifest["root_digest"]),
    )


def _write(out: Path, trainer: Trainer, lines: list[Line], result: SmokeResult) -> None:
    """Write the finished run: weights, sizes, curves, and the mix's manifest and tokenizer, which an export needs."""
    mix = trainer.order.mix
    write_bytes(out / "model.safetensors", weights(trainer))
    write_json(out / "config.json", asdict(trainer.model.config))
    write_json(out / "mix.json", mix.manifest)
    for path in mix.tokenizer_files:
        write_bytes(out / "tokenizer" / path.name, path.read_bytes())
    boundaries = [step * trainer.schedule.batch * mix.window for step in stage_steps(mix, trainer.schedule)]
    write_bytes(out / "curves.svg", draw_curves(lines, result.unigram_entropy, boundaries))
    write_json(out / "result.json", asdict(result))  # last: a run with a result is finished
    drop_checkpoints(out)

"""Checkpoints: everything that the next step depends on, in a folder that is either complete or absent.

    checkpoints/step-00000200/model.safetensors       weights
                              optimizer.safetensors   AdamW's two moments and step count of each parameter
                              place.json              number of windows trained on, state of the loss scale

The newest two are kept. The older one is read when the newest is damaged. Neither holds a value that is not finite.
"""

from __future__ import annotations

import logging
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NotRequired, TypedDict

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpts_data.pipelines.errors import DataError, GptsDataError
from gpts_data.pipelines.storage.atomic_files import (
    TEMPORARY_SUFFIX,
    publish,
    storage_errors,
    sync_folder,
    write_bytes,
    write_json,
)
from gpts_data.pipelines.storage.typed_json import Count, read_json_file
from gpts_data.validation.model.weights import load_weights
from gpts_data.validation.training.trainer import Trainer

FOLDER = "checkpoints"
_NAME = re.compile(r"step-\d{8,}(\.tmp)?")
KEPT = 2
OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of each parameter

log = logging.getLogger("gpts_data")


class Place(TypedDict):
    """The content of place.json."""

    windows: Count
    scaler: NotRequired[dict[str, float]]


def save_checkpoint(run: Path, trainer: Trainer) -> Path:
    """Write the trainer's state, delete all checkpoints but the newest two and return the new folder.

    Raises `GptsDataError` when a value is not finite, and then writes and deletes nothing; `StorageError`.
    """
    folder = run / FOLDER / f"step-{trainer.step:08}"
    temporary = folder.with_name(folder.name + TEMPORARY_SUFFIX)
    model, optimizer = weights(trainer), _encoded(_optimizer_state(trainer), trainer.step)
    with storage_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        write_bytes(temporary / "model.safetensors", model)
        write_bytes(temporary / "optimizer.safetensors", optimizer)
        place = {"windows": trainer.step * trainer.schedule.batch, "scaler": trainer.scaler.state_dict()}
        write_json(temporary / "place.json", place)
        sync_folder(temporary)
        shutil.rmtree(folder, ignore_errors=True)  # exists only if an earlier process could not read it
        publish(temporary, folder)
    earlier = [path for path in _checkpoints(run) if path < folder]
    for other in set(_folders(run)) - {folder, *earlier[-(KEPT - 1) :]}:
        shutil.rmtree(other, ignore_errors=True)
    return folder


def load_checkpoint(run: Path, trainer: Trainer) -> None:
    """Restore the trainer from the newest checkpoint that can be read; without any, leave it unchanged.

    Raises `DataError` when all are damaged or of another model.
    """
    folders = _checkpoints(run)[::-1]
    for folder in folders:
        try:
            _load(folder, trainer)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            if folder == folders[-1]:
                raise DataError(
                    f"{folder}: cannot be read as a checkpoint of this model: {error}; delete {run} to start again"
                ) from error
            log.warning("%s cannot be read: %s; continuing from the checkpoint before it", folder, error)
        else:
            return


def _load(folder: Path, trainer: Trainer) -> None:
    model, tensors = (load((folder / f"{name}.safetensors").read_bytes()) for name in ("model", "optimizer"))
    place = read_json_file(folder / "place.json", Place)
    for name, tensor in (*model.items(), *tensors.items()):
        if not tensor.isfinite().all():
            raise ValueError(f"{name} has values that are not finite")
    load_weights(trainer.model, model)
    for name, parameter in trainer.model.named_parameters():
        state = {key: tensors[f"{key}.{name}"].to(parameter.device) for key in OPTIMIZER_STATE}
        if not state["exp_avg"].shape == state["exp_avg_sq"].shape == parameter.shape:
            raise ValueError(f"the moments of {name} have another shape")
        trainer.optimizer.state[parameter] = state
    if "scaler" in place:  # checkpoints of version 0.1 have none
        trainer.scaler.load_state_dict(place["scaler"])
    trainer.step = place["windows"] // trainer.schedule.batch


def _checkpoints(run: Path) -> list[Path]:
    """Return the folders of complete checkpoints, the newest last."""
    return sorted(path for path in _folders(run) if path.suffix != TEMPORARY_SUFFIX)


def _folders(run: Path) -> list[Path]:
    """Return the folders that `save_checkpoint` made, complete or not, and nothing that a user put beside them."""
    return [path for path in (run / FOLDER).glob("step-*") if _NAME.fullmatch(path.name)]


def drop_checkpoints(run: Path) -> None:
    """Delete all checkpoints of a finished run."""
    for folder in _folders(run):
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # something of the user's is in it, or there is none
        (run / FOLDER).rmdir()


def weights(trainer: Trainer) -> bytes:
    """Return the float32 weights in the format of safetensors. Raises `GptsDataError` when one is not finite."""
    return _encoded(trainer.model.state_dict(), trainer.step)


def _encoded(tensors: dict[str, Tensor], step: int) -> bytes:
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in on_cpu.items():
        if not tensor.isfinite().all():
            raise GptsDataError(
                f"step {step}: {name} has values that are not finite, so nothing was written; run the same command "
                "again to continue from the last checkpoint"
            )
    return save(on_cpu, metadata={"format": "pt"})


def _optimizer_state(trainer: Trainer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": trainer.optimizer.state[parameter][key]
        for name, parameter in trainer.model.named_parameters()
        for key in OPTIMIZER_STATE
    }

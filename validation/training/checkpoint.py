"""Checkpoints: everything that the next step depends on, in a folder that is either complete or absent.

    checkpoints/step-00000200/model.safetensors       weights
                              optimizer.safetensors   AdamW's two moments and step count of each parameter
                              place.json              number of windows trained on

Only the newest checkpoint counts. The one before it is deleted as soon as the next is complete.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.storage.atomic_files import (
    TEMPORARY_SUFFIX,
    publish,
    storage_errors,
    sync_folder,
    write_bytes,
    write_json,
)
from gpts_data.validation.training.trainer import Trainer

FOLDER = "checkpoints"
OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")  # AdamW's state of each parameter


def save_checkpoint(run: Path, trainer: Trainer) -> Path:
    """Write the trainer's state, delete the previous checkpoint and return the new folder. Raises `StorageError`."""
    folder = run / FOLDER / f"step-{trainer.step:08}"
    temporary = folder.with_name(folder.name + TEMPORARY_SUFFIX)
    with storage_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        write_bytes(temporary / "model.safetensors", weights(trainer))
        write_bytes(temporary / "optimizer.safetensors", save(_optimizer_state(trainer)))
        write_json(temporary / "place.json", {"windows": trainer.step * trainer.schedule.batch})
        sync_folder(temporary)
        shutil.rmtree(folder, ignore_errors=True)  # exists only if an earlier process could not read it
        publish(temporary, folder)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def load_checkpoint(run: Path, trainer: Trainer) -> None:
    """Restore the trainer from the newest checkpoint; without one, leave it unchanged.

    Raises `DataError` for a checkpoint that is damaged or of another model.
    """
    folders = sorted(path for path in (run / FOLDER).glob("step-*") if path.suffix != TEMPORARY_SUFFIX)
    if not folders:
        return
    newest = folders[-1]
    try:
        trainer.model.load_state_dict(load((newest / "model.safetensors").read_bytes()))
        tensors = load((newest / "optimizer.safetensors").read_bytes())
        for name, parameter in trainer.model.named_parameters():
            state = {key: tensors[f"{key}.{name}"].to(parameter.device) for key in OPTIMIZER_STATE}
            trainer.optimizer.state[parameter] = state
        windows = json.loads((newest / "place.json").read_bytes())["windows"]
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{newest}: cannot be read as a checkpoint of this model: {error}; delete {run} to start again"
        ) from error
    trainer.step = windows // trainer.schedule.batch


def drop_checkpoints(run: Path) -> None:
    """Delete all checkpoints of a finished run."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def weights(trainer: Trainer) -> bytes:
    """Return the float32 weights in the format of safetensors."""
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in trainer.model.state_dict().items()}
    return save(tensors, metadata={"format": "pt"})


def _optimizer_state(trainer: Trainer) -> dict[str, Tensor]:
    return {
        f"{key}.{name}": trainer.optimizer.state[parameter][key].detach().cpu().contiguous()
        for name, parameter in trainer.model.named_parameters()
        for key in OPTIMIZER_STATE
    }

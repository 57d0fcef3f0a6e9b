"""A checkpoint: all that the next update depends on, in a folder that is whole or absent.

    checkpoints/step-00000200/model.safetensors       weights
                              optimizer.safetensors   AdamW's two means and its count, by parameter
                              place.json              windows trained on: where the data go on

The newest is the one that counts; an older one goes when the next is in place.
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
KEPT = ("step", "exp_avg", "exp_avg_sq")  # of AdamW, of each parameter


def save_checkpoint(run: Path, trainer: Trainer) -> Path:
    """Write the trainer's state and drop the older one. Raises `StorageError`."""
    folder = run / FOLDER / f"step-{trainer.step:08}"
    temporary = folder.with_name(folder.name + TEMPORARY_SUFFIX)
    with storage_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        write_bytes(temporary / "model.safetensors", weights(trainer))
        write_bytes(temporary / "optimizer.safetensors", save(_moments(trainer)))
        write_json(temporary / "place.json", {"windows": trainer.step * trainer.schedule.batch})
        sync_folder(temporary)
        shutil.rmtree(folder, ignore_errors=True)  # only ever one that could not be read
        publish(temporary, folder)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def load_checkpoint(run: Path, trainer: Trainer) -> None:
    """Put the trainer where the newest checkpoint stands; where there is none, leave it. Raises `DataError`."""
    folders = sorted(path for path in (run / FOLDER).glob("step-*") if path.suffix != TEMPORARY_SUFFIX)
    if not folders:
        return
    try:
        trainer.model.load_state_dict(load((folders[-1] / "model.safetensors").read_bytes()))
        moments = load((folders[-1] / "optimizer.safetensors").read_bytes())
        for name, parameter in trainer.model.named_parameters():
            trainer.optimizer.state[parameter] = {part: moments[f"{part}.{name}"].to(parameter.device) for part in KEPT}
        windows = json.loads((folders[-1] / "place.json").read_bytes())["windows"]
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{folders[-1]}: not a checkpoint of this model: {error}; delete {run} to begin anew"
        ) from error
    trainer.step = windows // trainer.schedule.batch


def drop_checkpoints(run: Path) -> None:
    """Of a finished run nobody needs them."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def weights(trainer: Trainer) -> bytes:
    """model.safetensors, float32."""
    named = {name: weight.detach().cpu().contiguous() for name, weight in trainer.model.state_dict().items()}
    return save(named, metadata={"format": "pt"})


def _moments(trainer: Trainer) -> dict[str, Tensor]:
    return {
        f"{part}.{name}": trainer.optimizer.state[parameter][part].detach().cpu().contiguous()
        for name, parameter in trainer.model.named_parameters()
        for part in KEPT
    }

"""log.jsonl: a line an update, written as it happens, cut back to the checkpoint that a run goes on from."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.storage.atomic_files import storage_errors, write_bytes

NAME = "log.jsonl"


@dataclass(frozen=True)
class Line:
    """Steps count from 1, the loss is that before the step's update, in nats a token, at rate `lr`."""

    step: int
    loss: float
    lr: float
    tokens: int
    """Trained on so far, this step's included."""
    tokens_per_second: float
    """Of this step, without validation and checkpoints."""
    validation_bits_per_byte: dict[str, float | None] | None = None
    """After the step's update, by source; None in steps that were not validated."""


class Log:
    """The lines of a run, `lines` in memory and all of them in the file."""

    def __init__(self, run: Path, step: int) -> None:
        """Keep the first `step` lines of an earlier process. Raises `DataError` when they are not all there."""
        self.path = run / NAME
        self.lines = read_log(self.path, step)
        write_bytes(self.path, b"".join(map(_encoded, self.lines)))

    def append(self, line: Line) -> None:
        self.lines.append(line)
        with storage_errors(self.path), open(self.path, "ab") as file:
            file.write(_encoded(line))

    def sync(self) -> None:
        """Make it durable, before the checkpoint that relies on it."""
        with storage_errors(self.path), open(self.path, "ab") as file:
            os.fsync(file.fileno())


def _encoded(line: Line) -> bytes:
    return json.dumps({key: value for key, value in asdict(line).items() if value is not None}).encode() + b"\n"


def read_log(path: Path, step: int) -> list[Line]:
    """The first `step` lines of a log. Raises `DataError` when they are not all there."""
    if not step:
        return []
    try:
        lines = [Line(**json.loads(line)) for line in path.read_bytes().splitlines()[:step]]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not the log of this run: {error}; delete {path.parent} to begin anew") from error
    if [line.step for line in lines] != list(range(1, step + 1)):
        raise DataError(f"{path}: {len(lines)} steps, expected {step:,}; delete {path.parent} to begin anew")
    return lines

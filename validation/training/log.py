"""log.jsonl: one line per step, written as the run goes. A resumed run truncates it to its checkpoint's step."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.storage.atomic_files import storage_errors, write_bytes
from gpts_data.pipelines.storage.typed_json import convert, read_regular_file

NAME = "log.jsonl"


@dataclass(frozen=True)
class Line:
    """The log line of one training step."""

    step: int
    """Counted from 1."""
    loss: float
    """Loss of the step's batch before its update, in nats per token; NaN, and absent from the file, if not finite."""
    lr: float
    """Learning rate of the update."""
    tokens: int
    """Tokens trained on so far, including this step's."""
    tokens_per_second: float
    """Speed of this step, without validation and checkpoints."""
    validation_bits_per_byte: dict[str, float | None] | None = None
    """Bits per byte on held-out documents after the update, by source; None when the step was not validated."""
    skipped: bool | None = None
    """True when the gradient was not finite, so that the weights were not updated; otherwise None."""


class Log:
    """The log of a run: `lines` holds the same lines as the file."""

    def __init__(self, run: Path, step: int) -> None:
        """Open the log and keep the first `step` lines of an earlier process.

        Raises `DataError` when not all of them are there.
        """
        self.path = run / NAME
        self.lines = read_log(self.path, step)
        write_bytes(self.path, b"".join(map(_encoded, self.lines)))

    def append(self, line: Line) -> None:
        self.lines.append(line)
        with storage_errors(self.path), open(self.path, "ab") as file:
            file.write(_encoded(line))

    def sync(self) -> None:
        """Flush the file to disk. A checkpoint relies on the lines before it, so this comes first."""
        with storage_errors(self.path), open(self.path, "ab") as file:
            os.fsync(file.fileno())


def read_log(path: Path, step: int) -> list[Line]:
    """Read the first `step` lines of a log. Raises `DataError` when not all of them are there."""
    if not step:
        return []
    try:
        content = read_regular_file(path).splitlines()[:step]
        lines = [convert({"loss": math.nan, **json.loads(line)}, Line) for line in content]
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: cannot be read as the log of a run: {error}; delete {path.parent} to start again"
        ) from error
    if len(lines) < step or any(line.step != i for i, line in enumerate(lines, 1)):
        raise DataError(
            f"{path}: found {len(lines):,} lines, expected one for each of {step:,} steps; delete {path.parent} to "
            "start again"
        )
    return lines


def _encoded(line: Line) -> bytes:
    values = {key: value for key, value in asdict(line).items() if value is not None}
    if not math.isfinite(line.loss):
        del values["loss"]  # JSON has no NaN
    return json.dumps(values).encode() + b"\n"

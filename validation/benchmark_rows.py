"""The rows of benchmarks in local files, checked before lm-eval reads them: JSON lines, one question each, in .gz."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from gpts_data.pipelines.errors import DataError
from gpts_data.pipelines.storage.typed_json import JsonError, parse_json, read_regular_file

MAX_BYTES = 256 << 20  # of text in a file; hellaswag, the largest, has 12 MB


class HellaswagRow(TypedDict):
    activity_label: str
    ctx_a: str
    ctx_b: str
    endings: Annotated[list[str], Meta(min_length=4, max_length=4)]
    label: Annotated[int, Meta(ge=0, le=3)] | Annotated[str, Meta(pattern=r"\A[0-3]\Z")]


class ArcChoices(TypedDict):
    text: Annotated[list[str], Meta(min_length=1, max_length=26)]
    label: Annotated[list[str], Meta(min_length=1, max_length=26)]


class ArcRow(TypedDict):
    question: str
    choices: ArcChoices
    answerKey: str


class PiqaRow(TypedDict):
    goal: str
    sol1: str
    sol2: str
    label: Annotated[int, Meta(ge=0, le=1)]


class ArithmarkRow(TypedDict):
    expression: str
    options: Annotated[list[float | str], Meta(min_length=1, max_length=26)]
    answer_index: Annotated[int, Meta(ge=0, le=25)]


class ContinuationRow(TypedDict):
    """A question of ArithMark 2 and 3; other columns are ignored."""

    ctx: str
    endings: Annotated[list[str], Meta(min_length=1, max_length=26)]
    label: Annotated[str, Meta(pattern=r"\A(\d|1\d|2[0-5])\Z")]


class BlimpRow(TypedDict):
    UID: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_]+\Z", max_length=100)]
    """Name of the paradigm, and with `blimp_` before it of lm-eval's task."""
    sentence_good: str
    sentence_bad: str


ROWS: dict[str, Any] = {
    "hellaswag": HellaswagRow,
    "arc_easy": ArcRow,
    "arc_challenge": ArcRow,
    "piqa": PiqaRow,
    "arithmark": ArithmarkRow,
    "arithmark_2": ContinuationRow,
    "arithmark_3": ContinuationRow,
    "blimp": BlimpRow,
}


def read_rows(path: Path, task: str) -> list[tuple[bytes, dict[str, Any]]]:
    """The lines of a file of questions and their content. Raises `DataError` for one that is no question of `task`."""
    rows: list[tuple[bytes, dict[str, Any]]] = []
    try:
        for line in io.BytesIO(_decompress(path)):
            if line.strip():
                rows.append((line.rstrip(b"\r\n") + b"\n", _check(parse_json(line, ROWS[task]))))
    except (JsonError, EOFError, OSError, zlib.error) as error:
        where = f"{path}, line {len(rows) + 1:,}" if isinstance(error, JsonError) else str(path)
        raise DataError(f"{where}: cannot be read as a question of {task}: {error}; download the file again") from error
    if not rows:
        raise DataError(f"{path}: found no questions of {task}; download the file again")
    return rows


def _decompress(path: Path) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(read_regular_file(path))) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise JsonError(f"more than {MAX_BYTES:,} bytes of text")
    return content


def _check(row: Any) -> Any:
    """Raise `JsonError` for a question whose answer is none of its options."""
    if "answerKey" in row:
        choices = row["choices"]
        if row["answerKey"] not in choices["label"] or len(choices["label"]) != len(choices["text"]):
            raise JsonError(f"answerKey: found {row['answerKey']!r}, expected a label of one of its choices")
    if "answer_index" in row and row["answer_index"] >= len(row["options"]):
        raise JsonError(f"answer_index: found {row['answer_index']}, expected one below {len(row['options'])}")
    if "ctx" in row and int(row["label"]) >= len(row["endings"]):
        raise JsonError(f"label: found {row['label']}, expected one below {len(row['endings'])}")
    return row

"""Files of questions are checked before lm-eval reads them."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from gpts_data.pipelines.errors import DataError
from gpts_data.validation.benchmark_rows import read_rows

ARC = {"question": "Which?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}
BLIMP = {"UID": "principle_A_case_1", "sentence_good": "The cat sleeps.", "sentence_bad": "The cat sleep."}


def write(path: Path, *rows: Any) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


def test_rows_are_returned_with_their_lines(tmp_path: Path) -> None:
    ((line, row), _) = read_rows(write(tmp_path / "a.jsonl.gz", ARC, ARC), "arc_easy")
    assert json.loads(line) == row == ARC


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("blimp", {**BLIMP, "UID": "../../../tmp/evil"}, "line 2.*UID: found '../../../tmp/evil'"),
        ("blimp", {**BLIMP, "UID": 5}, "UID: found 5"),
        ("blimp", ["UID"], "expected object"),
        ("arc_easy", {**ARC, "answerKey": "C"}, "answerKey: found 'C'"),
        ("piqa", {"goal": "g", "sol1": "a", "sol2": "b", "label": 2}, "label: found 2"),
        ("arithmark", {"expression": "1 + 1 =", "options": [1, 2], "answer_index": 2}, "answer_index: found 2"),
        (
            "arithmark_3",
            {"ctx": "1 + 1 =", "endings": [" 2", " 3"], "label": "2"},
            "label: found 2, expected one below 2",
        ),
        ("hellaswag", {"activity_label": "", "ctx_a": "", "ctx_b": "", "endings": ["a"], "label": 0}, "endings"),
    ],
)
def test_other_rows_are_refused(task: str, row: Any, message: str, tmp_path: Path) -> None:
    good = BLIMP if task == "blimp" and row != ["UID"] and row["UID"] != 5 else None
    path = write(tmp_path / "rows.jsonl.gz", *([good] if good else []), row)
    with pytest.raises(DataError, match=message):
        read_rows(path, task)


def test_pipes_bombs_and_empty_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="not a regular file"):
        read_rows(tmp_path / "pipe", "piqa")
    with pytest.raises(DataError, match="no questions"):
        read_rows(write(tmp_path / "empty"), "piqa")
    monkeypatch.setattr("gpts_data.validation.benchmark_rows.MAX_BYTES", 10)
    with pytest.raises(DataError, match="more than 10 bytes"):
        read_rows(write(tmp_path / "bomb", ARC), "arc_easy")

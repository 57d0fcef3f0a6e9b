"""Training questions of benchmarks: the texts that lm-eval scores, and no questions of the split that it scores."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from gpts_data.pipelines.errors import DataError, UsageError
from gpts_data.validation.search.proxies.questions import benchmark_of, read_questions

ROWS: dict[str, dict[str, Any]] = {
    "hellaswag": {
        "activity_label": "Making tea",
        "ctx_a": "A kettle [header] boils [title] on a stove.",
        "ctx_b": "the woman",
        "endings": ["leaves.", "pours [step] it.", "sings.", "sits."],
        "label": 1,
    },
    "arc_easy": {
        "question": "What is wet?",
        "choices": {"text": ["fire", "water"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "piqa": {"goal": "Cut bread", "sol1": "with a spoon", "sol2": "with a knife", "label": 1},
}
QUESTIONS = {
    "hellaswag": ("Making tea: A kettle boils. on a stove. The woman", " pours it."),
    "arc_easy": ("Question: What is wet?\nAnswer:", " water"),
    "piqa": ("Question: Cut bread\nAnswer:", " with a knife"),
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return path


@pytest.mark.parametrize("task", ROWS)
def test_context_and_right_answer_are_those_of_lm_eval(task: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"{task}_train.jsonl.gz", ROWS[task])
    assert benchmark_of(path) == task
    assert read_questions(path, task) == [QUESTIONS[task]]


@pytest.mark.parametrize(
    "name", ["hellaswag_validation.jsonl.gz", "arc_easy_test.jsonl.gz", "piqa_validation-1.jsonl.gz", "blimp.jsonl.gz"]
)
def test_the_split_that_evaluate_scores_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="that `evaluate` scores"):
        benchmark_of(Path(name))


def test_other_files_are_text() -> None:
    assert [benchmark_of(Path(name)) for name in ("notes.jsonl.gz", "piqa_train.jsonl")] == [None, None]


def test_a_file_of_another_benchmark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: cannot be read as a question of piqa"):
        read_questions(write(tmp_path / "piqa_train.jsonl.gz", ROWS["arc_easy"]), "piqa")

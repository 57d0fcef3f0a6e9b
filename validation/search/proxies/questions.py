"""The right answers of a benchmark's training split, each with the text before it, as lm-eval's tasks write them.

The split that `evaluate` scores is refused: weights that were chosen by it would not be judged by it any more.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from gpts_data.pipelines.errors import UsageError
from gpts_data.validation.benchmark_rows import read_rows
from gpts_data.validation.benchmarks import FILES, SPLITS

Question = tuple[str, str]
"""The text before the answer, and the right answer with the space between them."""


def benchmark_of(path: Path) -> str | None:
    """The benchmark whose questions a file holds by its name, such as `hellaswag_train.jsonl.gz`; None for others.

    Raises `UsageError` for the split that `evaluate` scores, and for benchmarks that have no other.
    """
    if not path.name.endswith(".jsonl.gz"):
        return None
    for task, pattern in FILES.items():
        if fnmatch(path.name, pattern):
            raise UsageError(
                f"--target {path}: these are the questions of {task} that `evaluate` scores (split "
                f"{SPLITS.get(task, 'train')}), so they cannot choose the weights; give the training split of "
                f"{', '.join(ANSWERS)}, named TASK_train.jsonl.gz"
            )
    return next((task for task in ANSWERS if path.name.startswith(f"{task}_")), None)


def read_questions(path: Path, task: str) -> list[Question]:
    """The questions in a file. Raises `DataError` for one that is no question of `task`."""
    return [ANSWERS[task](row) for _, row in read_rows(path, task)]


def _hellaswag(row: dict[str, Any]) -> Question:
    context = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
    return _without_marks(context), f" {_without_marks(row['endings'][int(row['label'])])}"


def _without_marks(text: str) -> str:
    """Text without the marks that WikiHow left in it, as lm-eval's `preprocess` of HellaSwag removes them."""
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")


def _arc(row: dict[str, Any]) -> Question:
    choices = dict(zip(row["choices"]["label"], row["choices"]["text"], strict=True))
    return f"Question: {row['question']}\nAnswer:", f" {choices[row['answerKey']]}"


def _piqa(row: dict[str, Any]) -> Question:
    return f"Question: {row['goal']}\nAnswer:", f" {row['sol2'] if row['label'] else row['sol1']}"


ANSWERS: dict[str, Callable[[dict[str, Any]], Question]] = {
    "hellaswag": _hellaswag,
    "arc_easy": _arc,
    "arc_challenge": _arc,
    "piqa": _piqa,
}
